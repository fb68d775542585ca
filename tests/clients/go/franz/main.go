// One tour of franz-go through a broker: administer, produce, consume as a group, share it, commit, clean up.
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

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type tour struct {
	sync.Mutex
	total   int
	ordered bool
	seen    map[string]int
	owned   [2]int
}

func (t *tour) take(record *kgo.Record) {
	t.Lock()
	defer t.Unlock()
	number, err := strconv.Atoi(string(record.Headers[0].Value))
	check(err)
	last, known := t.seen[string(record.Key)]
	if (known && number <= last) || string(record.Value) != fmt.Sprintf("v%d", number) {
		t.ordered = false
	}
	t.seen[string(record.Key)] = number
	t.total++
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

func (t *tour) join(ctx context.Context, at int, bootstrap, topic, group string) *kgo.Client {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.HeartbeatInterval(300*time.Millisecond), kgo.AutoCommitInterval(200*time.Millisecond),
		kgo.FetchMaxWait(200*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			t.Lock()
			t.owned[at] += len(added[topic])
			t.Unlock()
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
			t.Lock()
			t.owned[at] -= len(gone[topic])
			t.Unlock()
		}),
	)
	check(err)
	go func() {
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			if fetches.IsClientClosed() {
				return
			}
			fetches.EachRecord(t.take)
		}
	}()
	return client
}

func main() {
	bootstrap, topic, group := os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	found := map[string]any{"client": "franz-go"}

	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	check(err)
	admin := kadm.NewClient(client)
	retention := "86400000"
	_, err = admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &retention}, topic)
	check(err)
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	check(err)
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			found["retention"] = *config.Value
		}
	}
	records := make([]*kgo.Record, count)
	for at := range records {
		records[at] = &kgo.Record{
			Topic: topic, Key: []byte(fmt.Sprintf("k%d", at%10)), Value: []byte(fmt.Sprintf("v%d", at)),
			Headers: []kgo.RecordHeader{{Key: "at", Value: []byte(strconv.Itoa(at))}},
		}
	}
	check(client.ProduceSync(ctx, records...).FirstErr())

	t := &tour{ordered: true, seen: map[string]int{}}
	first := t.join(ctx, 0, bootstrap, topic, group)
	t.until("all messages", func() bool { return t.total >= count })
	second := t.join(ctx, 1, bootstrap, topic, group)
	t.until("shared partitions", func() bool { return t.owned[0] > 0 && t.owned[1] > 0 && t.owned[0]+t.owned[1] == 3 })
	t.Lock()
	shared := []int{t.owned[0], t.owned[1]}
	found["consumed"], found["ordered"] = t.total, t.ordered
	t.Unlock()
	sort.Ints(shared)
	found["shared"] = shared
	check(first.CommitUncommittedOffsets(ctx))
	check(second.CommitUncommittedOffsets(ctx))
	first.Close()
	second.Close()

	offsets, err := admin.FetchOffsets(ctx, group)
	check(err)
	committed := int64(0)
	offsets.Each(func(row kadm.OffsetResponse) { committed += row.At })
	found["committed"] = committed
	groups, err := admin.ListGroups(ctx)
	check(err)
	_, found["listed"] = groups[group]
	described, err := admin.DescribeGroups(ctx, group)
	check(err)
	found["state"] = described[group].State
	_, err = admin.DeleteGroup(ctx, group)
	check(err)
	_, err = admin.DeleteTopic(ctx, topic)
	check(err)
	topics, err := admin.ListTopics(ctx)
	check(err)
	found["gone"] = !topics.Has(topic)
	client.Close()
	check(json.NewEncoder(os.Stdout).Encode(found))
}
