// One tour of sarama through a broker: administer, produce, consume as a group, share it, commit, clean up.
// Prints one JSON object; tests/clients/test_go.py says what must be in it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type tour struct {
	sync.Mutex
	topic   string
	total   int
	ordered bool
	seen    map[string]int
	owned   [2]int
}

func (t *tour) until(what string, condition func() bool) {
	for tries := 0; tries < 600; tries++ {
		t.Lock()
		done := condition()
		t.Unlock()
		if done {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	check(fmt.Errorf("waited a minute for %s: %d messages, owned %v", what, t.total, t.owned))
}

type member struct {
	*tour
	at int
}

func (m member) Setup(session sarama.ConsumerGroupSession) error {
	m.Lock()
	defer m.Unlock()
	m.owned[m.at] = len(session.Claims()[m.topic])
	return nil
}

func (m member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.take(message)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func (t *tour) take(message *sarama.ConsumerMessage) {
	t.Lock()
	defer t.Unlock()
	number, err := strconv.Atoi(string(message.Headers[0].Value))
	check(err)
	last, known := t.seen[string(message.Key)]
	if (known && number <= last) || string(message.Value) != fmt.Sprintf("v%d", number) {
		t.ordered = false
	}
	t.seen[string(message.Key)] = number
	t.total++
}

func (t *tour) join(ctx context.Context, at int, bootstrap, group string, config *sarama.Config) sarama.ConsumerGroup {
	consumer, err := sarama.NewConsumerGroup([]string{bootstrap}, group, config)
	check(err)
	go func() {
		for ctx.Err() == nil {
			if err := consumer.Consume(ctx, []string{t.topic}, member{t, at}); err != nil {
				return
			}
		}
	}()
	return consumer
}

func main() {
	bootstrap, topic, group := os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	check(err)
	found := map[string]any{"client": "sarama"}
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Producer.Compression = sarama.CompressionSnappy
	config.Net.MaxOpenRequests = 1
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = 200 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	config.Consumer.MaxWaitTime = 200 * time.Millisecond

	admin, err := sarama.NewClusterAdmin([]string{bootstrap}, config)
	check(err)
	retention := "86400000"
	check(admin.CreateTopic(topic, &sarama.TopicDetail{
		NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention},
	}, false))
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	check(err)
	for _, entry := range entries {
		if entry.Name == "retention.ms" {
			found["retention"] = entry.Value
		}
	}
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, config)
	check(err)
	messages := make([]*sarama.ProducerMessage, count)
	for at := range messages {
		messages[at] = &sarama.ProducerMessage{
			Topic: topic, Key: sarama.StringEncoder(fmt.Sprintf("k%d", at%10)), Value: sarama.StringEncoder(fmt.Sprintf("v%d", at)),
			Headers: []sarama.RecordHeader{{Key: []byte("at"), Value: []byte(strconv.Itoa(at))}},
		}
	}
	check(producer.SendMessages(messages))
	check(producer.Close())

	ctx, cancel := context.WithCancel(context.Background())
	t := &tour{topic: topic, ordered: true, seen: map[string]int{}}
	first := t.join(ctx, 0, bootstrap, group, config)
	t.until("all messages", func() bool { return t.total >= count })
	second := t.join(ctx, 1, bootstrap, group, config)
	t.until("shared partitions", func() bool { return t.owned[0] > 0 && t.owned[1] > 0 && t.owned[0]+t.owned[1] == 3 })
	t.Lock()
	shared := []int{t.owned[0], t.owned[1]}
	found["consumed"], found["ordered"] = t.total, t.ordered
	t.Unlock()
	sort.Ints(shared)
	found["shared"] = shared
	cancel()
	check(first.Close())
	check(second.Close())

	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2}})
	check(err)
	committed := int64(0)
	for _, block := range offsets.Blocks[topic] {
		committed += block.Offset
	}
	found["committed"] = committed
	groups, err := admin.ListConsumerGroups()
	check(err)
	_, found["listed"] = groups[group]
	described, err := admin.DescribeConsumerGroups([]string{group})
	check(err)
	found["state"] = described[0].State
	check(admin.DeleteConsumerGroup(group))
	check(admin.DeleteTopic(topic))
	topics, err := admin.ListTopics()
	check(err)
	_, there := topics[topic]
	found["gone"] = !there
	check(admin.Close())
	check(json.NewEncoder(os.Stdout).Encode(found))
}
