"""Every bound of Isthmus, with its unit.

A buffer, wait, count or length without an entry here has no bound, and that is a bug. Data only; the places that hold
a bound raise the error.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# ---- names and catalogue -----------------------------------------------------------------------------------------

NAME_BYTES_MAX: Final = 255
"""UTF-8 bytes of the name of a topic, queue, exchange, group or namespace."""

NAMESPACES_MAX: Final = 1_000
NAMESPACE_KEPT_BYTES_MAX: Final = 16 * KIB
"""Namespaces of one store, and what another system may keep beside one."""

TOPICS_MAX: Final = 100_000
"""Topics (queues own one each) in one store."""

PARTITIONS_MAX: Final = 1_024
"""Partitions of one topic."""

EXCHANGES_MAX: Final = 100_000
"""Exchanges in one store."""

BINDINGS_MAX: Final = 100_000
"""Bindings of exchanges in one store."""

ROUTING_KEY_BYTES_MAX: Final = 255
"""UTF-8 bytes of a routing key or of the pattern of a binding."""

ROUTING_KEYS_MAX: Final = 64
"""Routing keys of one publish: its own, and those to which copies go."""

HEADER_MATCH_ROWS_MAX: Final = 64
BINDING_BYTES_MAX: Final = 16 * KIB
"""What the match of a binding by headers may hold, and what a binding may take in all."""

ROUTES_KEPT: Final = 65_536
"""Pairs of exchange and routing key whose topics are remembered."""

# ---- records, units, groups --------------------------------------------------------------------------------------

RECORD_BYTES_MAX: Final = 1 * MIB
"""Default limit of one record: key, value and headers."""

RECORD_BYTES_CEILING: Final = 15 * MIB
"""The most that the record limit can be set to, so that one record always fits a unit."""

BATCH_RECORDS_MAX: Final = 100_000
"""Records in one batch, checked before a batch from outside is walked."""

HEADERS_MAX: Final = 64
"""Headers of one record, as its producer gives them."""

HEADERS_RESERVED: Final = 16
"""Headers that Isthmus can add to a record which has that many already (dead-letter reason, cause and such)."""

HEADER_BLOCKS_CACHED: Final = 256
HEADER_BLOCK_CACHED_BYTES: Final = 1 * KIB
"""Header blocks remembered with their content, in each direction, and the size up to which one is."""

DECOMPRESSED_BYTES_MAX: Final = 64 * MIB
"""What one compressed batch may grow to when it is read."""

UNIT_BYTES_MAX: Final = 16 * MIB
"""Bytes of the entries of one atomic unit."""

REMOVALS_MAX: Final = 1_000
"""Objects of a namespace that are removed in one unit."""

UNIT_ENTRIES_MAX: Final = 65_535
"""Entries of one atomic unit."""

STEP_BYTES_MAX: Final = 256
"""What the facts that a step of a unit adds at submit may take, unless it says otherwise."""

PLACEMENTS_MAX: Final = 4_096
"""Partitions that one stored batch can stand in."""

GROUP_BYTES_TARGET: Final = 4 * MIB
"""A commit group takes whole units up to this size, or one unit that is larger."""

# ---- journal -----------------------------------------------------------------------------------------------------

SEGMENT_BYTES_MIN: Final = 256 * KIB
SEGMENT_BYTES_EMBEDDED: Final = 16 * MIB
SEGMENT_BYTES_SERVER: Final = 64 * MIB
SEGMENT_BYTES_MAX: Final = 1024 * MIB
"""Size to which a segment file is pre-allocated; an option of the store."""

RESERVE_BYTES_MAX: Final = 16 * MIB
"""Ballast that acknowledgements may use on a full disk: one segment, at most this."""

DISK_RETRY_MS: Final = 1_000
"""After this long a disk that had no room for the next segment is asked again."""

PENDING_BYTES_MAX: Final = 32 * MIB
"""Bytes submitted to the journal and not yet written; above it publishing is refused with `Overloaded`."""

PENDING_BYTES_LOW: Final = 8 * MIB
"""Publishers that wait for room go on below this."""

TAIL_CACHE_BYTES: Final = 32 * MIB
"""Newest batches kept in memory: a quarter of the default budget of 128 MiB."""

INDEX_CACHE_BYTES: Final = 8 * MIB
"""Loaded parts of index sidecars."""

OPEN_FILES_MAX: Final = 128
"""Segment and sidecar files of one store that are open for reading at the same time."""

READ_AHEAD_ENTRIES: Final = 32
"""Entries whose pages are asked for ahead of a catch-up read."""

AHEAD_BYTES_MAX: Final = 8 * MIB
"""Batches that were read from disk before readers who go on have asked for them."""

AHEAD_READ_BYTES_MAX: Final = MIB
AHEAD_PLACES_MAX: Final = 256
"""What is read for one reader so, and the places where readers are expected."""

IDLE_MARKER_MS: Final = 50
"""After this long without a commit an empty group records the durable LSN."""

CHECKPOINT_JOURNAL_BYTES: Final = 64 * MIB
"""A checkpoint is due when the journal grew by this and by CHECKPOINT_GROWTH_FACTOR times the last checkpoint."""

CHECKPOINT_GROWTH_FACTOR: Final = 4

CHECKPOINT_SLICE_MS: Final = 1
"""The loop exports a checkpoint in slices of at most this."""

SEAL_DEAD_BYTES_MIN: Final = 64 * KIB
"""An active segment that is wholly dead is sealed when it holds this much: below, a new file costs more."""

CLOCK_JUMP_MS: Final = 3_600_000
CLOCK_STEADY_MS: Final = 600_000
"""Nothing is deleted by age for this long after the wall clock moved by more than that against the monotonic one."""

SEGMENT_TIMES_MAX: Final = 4_096
"""Points in time that a segment remembers of when its groups were appended."""

COMPACT_DEAD_SHARE: Final = 0.5
"""A segment is copied when this share of its bytes is dead: then space comes back at least as fast as it is written."""

COMPACT_SMALL_SHARE: Final = 8
COMPACT_SMALL_FILES: Final = 8
"""Compacted files below this part of a segment are joined when so many are neighbours."""

COMPACT_DIRTY_BYTES_MIN: Final = 1 * MIB
"""New bytes of a partition below which compaction by key does not look at it by itself."""

COMPACT_KEYS_MAX: Final = 250_000
"""Keys held at once while the newest of each is looked for (about 200 bytes each); for more it reads several times."""

COMPACT_MARKS_MAX: Final = 32 * MIB
"""Bytes of marks on offsets that one pass over a partition makes; what is beyond stays until the next."""

COMPACT_STEP_BYTES: Final = 256 * KIB
"""What one step on a work thread reads, so that readers and publishers are not held up."""

COMPACT_REST_SHARE: Final = 3
"""After a step compaction rests this many times as long as the step took."""

COMPACT_LOOK_MS: Final = 15_000
"""How often housekeeping looks whether something is to be compacted."""

COMPACT_LOOK_SEGMENTS: Final = 64
"""Segments that one such look goes through; the next goes on behind them."""

COMPACT_HORIZON_MS: Final = 3_600_000
"""Entries share a group of a compacted file when they were appended within this time: ages are exact to as much."""

# ---- reading -----------------------------------------------------------------------------------------------------

FETCH_BYTES_MAX: Final = 8 * MIB
"""Bytes of one fetch, whatever was asked for (a single larger batch still goes out whole)."""

LONG_POLLS_MAX: Final = 5_000
"""Readers waiting for growth at the same time."""

PRODUCER_BATCHES_KEPT: Final = 5
"""Last batches remembered per idempotent producer and partition."""

PRODUCERS_MAX: Final = 4_096
"""Idempotent producers known per partition; above it the one that has been quiet for longest is forgotten."""

# ---- groups ------------------------------------------------------------------------------------------------------

DONE_WINDOW_MAX: Final = 10_000
"""Offsets between a group's floor and the furthest finished one."""

GROUP_MEMBERS_MAX: Final = 1_000
"""Members of one consumer group."""

SESSION_MS_MIN: Final = 1_000
SESSION_MS_MAX: Final = 1_800_000
"""Range of a group member's session time-out."""

MEMBER_METADATA_BYTES_MAX: Final = 64 * KIB
"""Opaque metadata of one member for one protocol, or one member's assignment."""

MEMBER_PROTOCOLS_MAX: Final = 16
"""Assignment protocols that one group member offers."""

REBALANCE_MS_MAX: Final = 2_147_483_647
"""The longest time that a group waits for its members to join again; what a signed 32-bit field can ask for."""

MEMBER_JOIN_MS_MAX: Final = 300_000
"""How long a newcomer's join waits before the group takes the newcomer for gone."""

COMMIT_METADATA_BYTES_MAX: Final = 4 * KIB
"""Metadata text of a committed offset."""

GROUPS_KEPT_MS: Final = 7 * 86_400_000
"""How long a group that is made to expire is remembered without a member or a commit; an option of the store."""

GROUPS_RETURN_MS: Final = 86_400_000
"""How long after an opening no group is forgotten, so that members can return whose commits are old."""

# ---- queues ------------------------------------------------------------------------------------------------------

QUEUE_WINDOW_MAX: Final = 120_000
"""Unsettled records admitted per partition of a queue."""

DELAYED_AT_ONCE: Final = 256
"""Events of a delayed exchange that are due and on their way to where they are routed."""

DELAYED_RETRY_MS: Final = 1_000
"""When those are tried again that could not be routed."""

QUEUE_DELAYED_MAX: Final = 1_000_000
"""Delayed records of one queue; while there are more, no further ones are read."""

QUEUE_AGES_MAX: Final = 1_024
"""Points in time that a queue with a time to live remembers: it is kept to a millisecond, or a 1,024th of itself."""

QUEUE_PAGE_BYTES: Final = 64 * KIB
QUEUE_PAGES_MAX: Final = 16
"""Size and number of the pieces of a partition that a queue keeps at hand for its next hand-overs."""

QUEUE_CONSUMERS_MAX: Final = 10_000
"""Consumers that wait for records of one queue at the same time."""

PRIORITIES_MAX: Final = 256
"""Levels of priority of one queue, each of which is a partition."""

CONSUMER_TURN_RECORDS: Final = 256
CONSUMER_BATCH_RECORDS: Final = 1_024
CONSUMER_BATCH_BYTES: Final = 1 * MIB
"""What a standing consumer is handed at once: records when others want some too, when it is alone, and bytes."""

CONSUMER_RETRY_MS: Final = 100
"""When standing consumers are served again after the journal had no room for a hand-over."""

LEASE_RECORDS_MAX: Final = 10_000
"""Records of one lease call."""

LEASE_MS_MAX: Final = 12 * 3_600_000
"""The longest lease with a time limit."""

DEDUP_IDS_MAX: Final = 1_000_000
"""De-duplication ids remembered per topic."""

DEDUP_WINDOW_MS: Final = 5 * 60_000
"""How long a de-duplication id is remembered by default."""

DEDUP_ID_BYTES_MAX: Final = 255
"""Bytes of a de-duplication id."""

REASON_BYTES_MAX: Final = 8 * KIB
"""Bytes of a dead letter's reason and of its traceback, each; longer text is cut at the front."""

DEATHS_MAX: Final = 64
"""Deaths that a dead letter remembers, one a queue and reason; the oldest is forgotten."""

DEATH_KEYS_BYTES_MAX: Final = 4 * KIB
"""UTF-8 bytes of the routing keys that are remembered of one death."""

# ---- access ------------------------------------------------------------------------------------------------------

USERS_MAX: Final = 10_000
GRANTS_MAX: Final = 256
"""Users of a broker, and grants of one user."""

POLICIES_MAX: Final = 1_000
POLICY_PATTERN_MAX: Final = 255
POLICY_SETTING_BYTES_MAX: Final = 1_024
"""Policies of a broker, characters of the pattern of one, and bytes of a value that it sets."""

DECISIONS_KEPT_MAX: Final = 1_024
"""Decisions on one user's rights that are kept, by operation and name."""

SASL_BYTES_MAX: Final = 4 * KIB
"""Bytes of one message of a login."""

LOGINS_FAILED_PER_SECOND: Final = 10
LOGINS_FAILED_BURST: Final = 100
"""Failed logins from one address: how many are forgiven in a second, and how many it may be behind with."""

LOGIN_ADDRESSES_MAX: Final = 4_096
"""Addresses of which failed logins are remembered."""

PASSWORD_BYTES_MAX: Final = 1 * KIB
"""Bytes of a password in UTF-8."""

SCRAM_ITERATIONS: Final = 4_096
SCRAM_ITERATIONS_MAX: Final = 16_384
"""Rounds of the hash that is kept of a password, and the most that are accepted; the first is also the least."""

SCRAM_SALT_BYTES: Final = 16
SCRAM_SALT_BYTES_MAX: Final = 128
"""Bytes of a salt that is made here, and of one that somebody else has made; 8 are the least."""

# ---- client ------------------------------------------------------------------------------------------------------

LINGER_MS: Final = 5
BATCH_EVENTS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 64 * KIB
"""A producer's batch is sent after this time, this many events, or this many bytes; whichever comes first."""

PRODUCER_BUFFER_BYTES_MAX: Final = 32 * MIB
"""Events handed to a producer and not yet acknowledged; `publish` waits above it."""

READ_BYTES_TARGET: Final = 256 * KIB
"""Bytes that a reading loop asks for at once; decoded in one go, so this bounds how long the event loop is held."""

READ_WAIT_MS: Final = 60_000
"""The longest single wait of a reading loop for more events; it then asks again."""

HANDLER_BATCH_DELIVERIES: Final = 64
"""Deliveries that one hop into the handler thread carries."""

HANDLER_BATCH_MS: Final = 5
"""Time after which a hop into the handler thread ends though deliveries are left."""

HELD_EVENTS_MAX: Final = 1_024
"""Deliveries that one consumer of an app holds: received and not yet settled. A list handler may hold two lists."""

HELD_BYTES_MAX: Final = 16 * MIB
"""Bytes of keys and values of those deliveries above which no more are received."""

OUTPUT_BYTES_MAX: Final = 4 * MIB
"""Bytes of handlers' outputs that wait to be published, above which a consumer's handlers wait."""

WORKERS_MAX: Final = 1_000
"""Handler runs side by side in one consumer of an app."""

ENRICH_CACHE_MAX: Final = 10_000
"""Answers that an enrich function keeps."""

ENRICH_CONCURRENCY: Final = 8
"""Upstream calls of one enrich function at a time."""

ENRICH_TTL_MS: Final = 3_600_000
"""How long an answer is kept for those who read the same change later."""

ENRICH_FAILURES_OPEN: Final = 5
"""Failed upstream calls in a row after which the upstream service is left alone."""

ENRICH_OPEN_MS: Final = 10_000
"""How long it is left alone before one call tries again."""

SHUTDOWN_MS: Final = 30_000
"""Time that running handlers get to finish at shutdown."""

DRAIN_BUSY_MS: Final = 10_000
"""Real time after which `drain` gives up and names what is busy."""

THREADS_WORK: Final = 2
"""Threads for cold reads, index load, checkpoints and codecs."""

THREADS_HANDLERS: Final = 8
"""Threads for users' plain functions."""

# ---- server ------------------------------------------------------------------------------------------------------

CONNECTIONS_MAX: Final = 10_000
CONNECTIONS_PER_HOST_MAX: Final = 1_000
"""Connections of a server at the same time, and those from one address; peers on loopback count only for the first."""

ACCEPTS_PER_SECOND: Final = 200
ACCEPTS_BURST: Final = 500
"""New connections a second, and how many may come at once after a quiet time; peers on loopback are not counted."""

ACCEPT_BACKLOG: Final = 1_024
"""Connections that the kernel keeps until they are accepted."""

ACCEPT_RETRY_MS: Final = 1_000
"""After this long accepting is tried again when the process had no descriptor left."""

STRANGER_BYTES_MAX: Final = 8 * KIB
"""Bytes that are kept of a peer that has not proven who it is."""

HTTP_GREETED_BYTES: Final = 4 * KIB
"""Who sends a body of HTTP that is so large is asked who it is by the head alone."""

STRANGERS_BYTES_MAX: Final = 16 * MIB
"""Memory for such peers; above it the one that has been a stranger for longest is closed."""

STRANGER_COST_BYTES: Final = 16 * KIB
"""What each of them is counted with: its bytes, and as much again for the state of the connection."""

FIRST_BYTE_MS: Final = 5_000
HANDSHAKE_MS: Final = 10_000
"""How long a stranger may say nothing, and how long it may take to prove who it is, TLS included."""

LOGIN_FAILED_MS: Final = 1_000
"""How much later a failed login is answered."""

IDLE_MS: Final = 600_000
"""A connection on which nothing was received or sent for this long is closed."""

CLOSING_MS: Final = 5_000
"""How long a connection that is being closed may take to send what there is."""

HALF_CLOSED_MS: Final = 1_000
"""How long answers are waited for after the peer said that it sends no more: mostly it has gone."""

READ_BYTES: Final = 256 * KIB
"""The most that is taken from a socket at once."""

BUFFERED_BYTES_MAX: Final = 64 * KIB
"""Bytes that a connection may have waiting besides those of the request that is arriving; above it, it is not read."""

INGRESS_BYTES_MAX: Final = 64 * MIB
"""Received and unhandled bytes of all connections; above it only one is read, until its request is complete."""

INGRESS_SIP_BYTES: Final = 1 * KIB
"""What is taken from a socket that was being read when that bound was reached, before it is paused."""

INGRESS_STALL_MS: Final = 1_000
"""How long that one may send nothing; then it is closed, because what it holds keeps the others waiting."""

EGRESS_BYTES_HIGH: Final = 256 * KIB
"""Unsent bytes of a connection from which on it counts as congested: its requests wait until the peer reads."""

EGRESS_BYTES_MAX: Final = 128 * MIB
"""Unsent bytes of all congested connections; above it the one that has read nothing for longest is closed."""

EGRESS_STALL_MS: Final = 60_000
"""A congested peer that reads nothing for this long is closed."""

TURN_US: Final = 2_000
SLICE_US: Final = 200
"""Time that all connections together, and one connection, get for their requests in one turn of the loop."""

DEBT_SLICES_MAX: Final = 50
"""Slices that a principal sits out at most after a request that took longer than a slice."""

DRAIN_MS: Final = 10_000
"""How long a server that stops waits for what runs."""

CONFIG_BYTES_MAX: Final = 1 * MIB
"""Bytes of a configuration file."""

LAG_SAMPLE_MS: Final = 100
LAG_SAMPLES: Final = 600
"""How often the lag of the event loop is measured, and how many measurements are kept: a minute of them."""

# ---- Kafka's protocol --------------------------------------------------------------------------------------------

KAFKA_FRAME_BYTES_MAX: Final = 32 * MIB
"""One request: what its batches may take together, in units of their own."""

KAFKA_SMALL_FRAME_BYTES_MAX: Final = 2 * MIB
"""One request that carries no batches: becomes many objects, which take more memory than its bytes."""

KAFKA_OWED_MAX: Final = 1_024
KAFKA_OWED_BYTES_MAX: Final = 32 * MIB
"""Requests of a connection that are begun and whose answers have not left, and their bytes, with those that fetches may
bring; above it the next ones wait."""

KAFKA_TOLD_CHARS_MAX: Final = 1_000
"""Characters of the text of an error: it quotes what a client sent, and old versions have room for 32 KiB."""

FETCH_WAIT_MS_MAX: Final = 300_000
"""How long a fetch may wait for something to come, whatever it asks for."""

# ---- AMQP --------------------------------------------------------------------------------------------------------

AMQP_TABLE_DEPTH_MAX: Final = 32
"""How deeply a field table may be nested."""

AMQP_FRAME_BYTES_FIRST: Final = 8 * KIB
"""The longest frame before another length is agreed upon."""

AMQP_FRAME_BYTES_MAX: Final = 128 * KIB
"""The longest frame that is proposed: becomes at most that many objects, when it is a table."""

AMQP_FRAME_BYTES_GRACE: Final = 8
"""So much longer than agreed a frame may be: clients forget to count what is around it."""

AMQP_CHANNELS_MAX: Final = 2_047
"""Channels of one connection, and the highest number of one."""

AMQP_BODY_BYTES_MAX: Final = 16 * MIB
"""Body of one message."""

AMQP_ASSEMBLY_BYTES_MAX: Final = 32 * MIB
"""Bodies of a connection that have begun to come and are not whole, on all of its channels together."""

AMQP_CACHED_MAX: Final = 256
AMQP_CACHED_BYTES: Final = 512
"""Addresses and properties of messages that a connection knows to be well-formed, and how long one may be for that."""

AMQP_FRAME_BYTES_MIN: Final = 8 * KIB
"""The shortest limit of frames that a client may ask for."""

AMQP_TEXT_BYTES_MAX: Final = 255
"""Bytes of a short text, such as a routing key or the text of a close; longer ones are cut where they are ours."""

AMQP_PREFIX_BYTES_MAX: Final = 64
"""Bytes of the prefix that a client asks for of a queue's name that is made here."""

AMQP_HEARTBEAT_S: Final = 60
"""The interval of heartbeats that is proposed."""

AMQP_QUIET_MS: Final = 240_000
"""How often a client that wants no heartbeats gets one all the same, so that its quiet connection is not idle."""

AMQP_CLOSE_MS: Final = 5_000
"""How long the answer to a close is waited for."""

AMQP_BLOCKED_MS: Final = 500
"""A publisher that waits this long for the disk is told that it is blocked."""

AMQP_STUCK_MS: Final = 50
"""After this long a disk that has room, and has refused publishes all the same, is asked again."""

AMQP_RUN_RECORDS_MAX: Final = 256
AMQP_RUN_BYTES_MAX: Final = MIB
AMQP_RUNS_MAX: Final = 256
"""Publishes of a channel that go the same way and are gathered into one batch, and their bytes; such batches at once,
which have no more bytes together than one may have."""

AMQP_ACKS_MAX: Final = 256
"""Acknowledgements of one channel, one behind the other, that are read at once."""

AMQP_BACKLOG_MAX: Final = 1_024
AMQP_BACKLOG_BYTES_MAX: Final = 4 * MIB
"""Methods and messages of a connection that wait for what their channels do, and bytes of the messages; above it the
connection's next ones wait where they are."""

AMQP_CONSUMERS_MAX: Final = 1_024
"""Consumers of one channel."""

AMQP_UNSETTLED_MAX: Final = 65_536
"""Deliveries of one channel that are not settled; above it nothing is delivered, whatever the prefetch."""

AMQP_WINDOW_RECORDS: Final = 1_000
AMQP_WINDOW_BYTES: Final = 8 * MIB
"""What a consumer may be promised and not yet sent, however large its prefetch is."""

AMQP_DELIVERY_LIMIT: Final = 20
"""Failures that a message of a quorum queue survives unless its queue says otherwise."""

AMQP_EXPIRATION_MS_MAX: Final = 315_360_000_000
"""The longest expiration of a message: ten years."""

AMQP_DELAY_MS_MAX: Final = 4_294_967_295
"""The longest x-delay of a message."""

AMQP_SHAPES_CACHED: Final = 1_024
AMQP_SHAPE_BYTES_MAX: Final = 1 * KIB
"""Properties whose meaning is remembered, in each direction, and how long they may be for that."""

# ---- native protocol ---------------------------------------------------------------------------------------------

NATIVE_FRAME_BYTES_MAX: Final = UNIT_BYTES_MAX + 1 * MIB
"""One frame of a client: a unit, and what is said around it."""

NATIVE_ANSWER_BYTES_MAX: Final = 64 * MIB
"""One frame of a server."""

NATIVE_DEPTH_MAX: Final = 16
"""How deeply a message may be nested."""

NATIVE_RUNNING_MAX: Final = 256
NATIVE_RUNNING_BYTES_MAX: Final = 16 * MIB
"""Requests of one connection that are being worked on, and their bytes; above either its next ones wait."""

NATIVE_WAITING_MAX: Final = 1_024
"""Requests of one connection that wait for records to come; further ones are refused."""

NATIVE_HANDLES_MAX: Final = 4_096
"""Readers and sources that one connection has open."""

NATIVE_CREDIT_BYTES_MAX: Final = 64 * MIB
NATIVE_CREDIT_BYTES_MIN: Final = 64 * KIB
"""Bytes that the waiting requests of one connection may bring at once, and what one of them gets beyond that."""

NATIVE_UNSENT_BYTES_MAX: Final = 192 * MIB
"""Answers that are kept for a client that does not read them; then it is hung up on."""

NATIVE_EVENTS_MAX: Final = 1_000
"""Deliveries of one answer, whatever was asked for: what it takes to encode more would keep others waiting."""

NATIVE_HELD_MAX: Final = 100_000
NATIVE_HELD_BYTES_MAX: Final = 64 * MIB
"""Deliveries that one connection holds, and their bytes; above either it is given no more."""

NATIVE_CONNECT_MS: Final = 10_000
"""How long a client tries to reach its server again before it says that it cannot."""

BESIDE_MS: Final = 2_000
"""How long the process that holds a directory may take to say hello to another one."""

NATIVE_RETRY_FIRST_MS: Final = 20
NATIVE_RETRY_MAX_MS: Final = 1_000
"""Pauses between these attempts, doubling."""

NATIVE_PING_MS: Final = 60_000
"""How often a client says something, so that neither end takes the connection for dead."""

# ---- HTTP --------------------------------------------------------------------------------------------------------

HTTP_TARGET_BYTES_MAX: Final = 8 * KIB
HTTP_HEAD_BYTES_MAX: Final = 32 * KIB
HTTP_HEADERS_MAX: Final = 100
"""Bytes of a request's address and of its whole head, and how many headers it may have."""

AWS_BODY_BYTES_MAX: Final = 16 * MIB
"""The body of a request to an AWS door: ten messages, or five hundred records, as base64 in JSON."""

AWS_FORM_FIELDS_MAX: Final = 2_000
"""Fields of a request in the older protocol of SQS: ten messages with ten attributes of four fields, and more."""

HTTP_BODY_BYTES_MAX: Final = 1 * MIB
"""Bytes of a request's body, where a service says nothing else."""

HTTP_CHUNK_LINE_BYTES_MAX: Final = 256
HTTP_CHUNKS_STEP: Final = 256
"""Bytes of the line before a chunk, and how many lines and chunks of a body are taken in one step."""

HTTP_PIPELINE_MAX: Final = 16
"""Requests of one connection that are begun and not answered; above it the next one waits."""

HTTP_LATE_MS: Final = 10_000
HTTP_LATE_BYTES: Final = 10 * KIB
"""How long the head of a request may take from its first byte to its last, and how many bytes of a body have to come in
that time.
"""

HTTP_LINGER_MS: Final = 1_000
"""How long a connection that was refused is read on without looking, so that the refusal is not lost on its way."""

# ---- web port ----------------------------------------------------------------------------------------------------

WEB_BODY_BYTES_MAX: Final = 64 * KIB
"""Bytes of a request's body on the web port, where nothing is uploaded."""

MANAGEMENT_BODY_BYTES_MAX: Final = 16 * MIB
"""The same where the management API is served, which takes definitions and messages."""

MANAGEMENT_PAGE_MAX: Final = 500
"""Rows of one page of a list of the management API."""

MANAGEMENT_MESSAGES_MAX: Final = 1_000
MANAGEMENT_MESSAGES_BYTES_MAX: Final = 16 * MIB
"""Messages, and bytes of them, that one request to the management API gets from a queue."""

MANAGEMENT_RUNNING_MAX: Final = 16
"""Requests to the management API that are worked on at a time; who asks for another one is told to come again."""

METRICS_PARTITIONS_MAX: Final = 10_000
METRICS_QUEUES_MAX: Final = 1_000
METRICS_GROUPS_MAX: Final = 1_000
METRICS_TOPICS_MAX: Final = 100
"""Partitions, queues and groups that have metrics of their own, and topics in which one group has. How many of the
first three are left out is a metric.
"""

METRICS_RUNNING_MAX: Final = 4
"""Pages of metrics that are made at the same time; who asks for another one is told to come again."""

METRICS_SLICE: Final = 200
"""How many of them are looked at before others have their turn."""

# ---- workers -----------------------------------------------------------------------------------------------------

WORKER_PROCESSES_MAX: Final = 256
"""Processes of one `isthmus run --workers`."""

WORKER_PAUSE_FIRST_MS: Final = 100
WORKER_PAUSE_MAX_MS: Final = 10_000
"""Pause before a worker that died is started again, doubling."""

WORKER_STEADY_MS: Final = 30_000
"""After a life this long the pause is the first one again."""

# ---- demo --------------------------------------------------------------------------------------------------------

DEMO_FILE_BYTES_MAX: Final = 256 * MIB
"""What a file handed to the demo may unpack to; a year of flights is 31 MB."""

CHECKPOINT_BYTES_MAX: Final = 1024 * MIB
"""A checkpoint file larger than this is not read."""
