// One tour of kafkajs through a broker: administer, produce, consume as a group, share it, commit, clean up.
// Prints one JSON object; tests/clients/test_node.py says what must be in it.
import kafkajs from 'kafkajs'

const [bootstrap, topic, group, count] = [...process.argv.slice(2, 5), Number(process.argv[5])]
const kafka = new kafkajs.Kafka({ clientId: 'tour', brokers: [bootstrap], logLevel: kafkajs.logLevel.ERROR })
const admin = kafka.admin()
const found = { client: 'kafkajs' }
await admin.connect()
await admin.createTopics({
  topics: [{ topic, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '86400000' }] }]
})
const described = await admin.describeConfigs({
  includeSynonyms: false,
  resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }]
})
found.retention = described.resources[0].configEntries.find(entry => entry.configName === 'retention.ms').configValue

const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
await producer.connect()
const messages = Array.from({ length: count }, (_, at) => ({
  key: `k${at % 10}`, value: `v${at}`, headers: { at: String(at) }
}))
await producer.send({ topic, acks: -1, compression: kafkajs.CompressionTypes.GZIP, messages })
await producer.disconnect()

const seen = new Map()
let total = 0
let ordered = true
const owned = [0, 0]
const consumers = []
async function join (at) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 10000, heartbeatInterval: 500, maxWaitTimeInMs: 200 })
  consumer.on(consumer.events.GROUP_JOIN, event => {
    owned[at] = (event.payload.memberAssignment[topic] ?? []).length
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommitInterval: 200,
    eachMessage: async ({ message }) => {
      const key = message.key.toString()
      const number = Number(message.headers.at.toString())
      ordered = ordered && number > (seen.get(key) ?? -1) && message.value.toString() === `v${number}`
      seen.set(key, number)
      total += 1
    }
  })
  consumers.push(consumer)
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
for (const consumer of consumers) await consumer.disconnect()
const offsets = await admin.fetchOffsets({ groupId: group, topics: [topic] })
found.committed = offsets[0].partitions.reduce((sum, row) => sum + Number(row.offset), 0)
found.listed = (await admin.listGroups()).groups.some(each => each.groupId === group)
const state = await admin.describeGroups([group])
found.state = state.groups[0].state
await admin.deleteGroups([group])
await admin.deleteTopics({ topics: [topic] })
found.gone = !(await admin.listTopics()).includes(topic)
await admin.disconnect()
console.log(JSON.stringify(found))
process.exit(0)
