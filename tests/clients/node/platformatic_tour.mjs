// One tour of @platformatic/kafka through a broker: administer, produce, consume as a group, share it, commit, clean up.
// Prints one JSON object; tests/clients/test_node.py says what must be in it.
import { Admin, Consumer, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'

const [bootstrap, topic, group, count] = [...process.argv.slice(2, 5), Number(process.argv[5])]
const common = { clientId: 'tour', bootstrapBrokers: [bootstrap] }
const found = { client: '@platformatic/kafka' }
const admin = new Admin(common)
await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1, configs: [{ name: 'retention.ms', value: '86400000' }] })
const configs = await admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: topic }] })
found.retention = configs[0].configs.find(entry => entry.name === 'retention.ms').value

const producer = new Producer({ ...common, serializers: stringSerializers, idempotent: true, compression: 'gzip' })
const messages = Array.from({ length: count }, (_, at) => ({
  topic, key: `k${at % 10}`, value: `v${at}`, headers: { at: String(at) }
}))
await producer.send({ messages, acks: -1 })
await producer.close()

const seen = new Map()
let total = 0
let ordered = true
const owned = [0, 0]
const consumers = []
const streams = []
async function join (at) {
  const consumer = new Consumer({
    ...common, groupId: group, deserializers: stringDeserializers, sessionTimeout: 10000, heartbeatInterval: 500, maxWaitTime: 200
  })
  consumer.on('consumer:group:join', event => {
    owned[at] = (event.assignments ?? []).filter(each => each.topic === topic).reduce((sum, each) => sum + each.partitions.length, 0)
  })
  const stream = await consumer.consume({
    topics: [topic], mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest', autocommit: true, maxWaitTime: 200
  })
  stream.on('data', message => {
    const number = Number(message.headers.get('at'))
    ordered = ordered && number > (seen.get(message.key) ?? -1) && message.value === `v${number}`
    seen.set(message.key, number)
    total += 1
  })
  consumers.push(consumer)
  streams.push(stream)
}
async function until (condition, what) {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 600) throw new Error(`waited a minute for ${what}: ${JSON.stringify({ total, owned })}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}
await join(0)
await until(() => total >= count, 'all messages')
await join(1)
await until(() => owned[0] > 0 && owned[1] > 0 && owned[0] + owned[1] === 3, 'shared partitions')
found.shared = [...owned].sort()
found.consumed = total
found.ordered = ordered
for (const stream of streams) await stream.close()
for (const consumer of consumers) await consumer.close(true)
const offsets = await admin.listConsumerGroupOffsets({ groups: [{ groupId: group, topics: [{ name: topic, partitionIndexes: [0, 1, 2] }] }] })
found.committed = offsets[0].topics[0].partitions.reduce((sum, row) => sum + Number(row.committedOffset), 0)
found.listed = (await admin.listGroups()).has(group)
found.state = (await admin.describeGroups({ groups: [group] })).get(group).state
await admin.deleteGroups({ groups: [group] })
await admin.deleteTopics({ topics: [topic] })
found.gone = !(await admin.listTopics()).includes(topic)
await admin.close()
console.log(JSON.stringify(found))
process.exit(0)
