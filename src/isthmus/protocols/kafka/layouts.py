"""Kafka's messages as data: one line per request and response, in a notation that `schema.py` reads.

Derived from Apache Kafka's message definitions (Apache License 2.0, see NOTICE), at the level of Kafka 4.3. Ranges are
those that brokers accept. Nothing here acts; what is served of it is decided by the handlers.

Notation
--------
`key Name vMIN-MAX flex=V: fields`, where a field is `Name [?][type][@versions][#tag][=default]`.

=========  ========================================================================================================
`?`        may be null; `?10+:` from version 10 on
types      b bool, i8 i16 u16 i32 u32 i64 f64, str, uuid, bytes, recs (record batches, encoded like bytes)
`[ ]`      an array: of structs when it holds fields, else of the type
`{ }`      a struct
`@5+`      only from version 5 on; `@-7` up to 7; `@8-10` between; `@4` in one
`#0`       a tagged field of flexible versions, with tag 0
=========  ========================================================================================================
"""

from typing import Final

LAYOUTS: Final = """\
0 ProduceRequest v3-13 flex=9: TransactionalId ?str=null, Acks i16, TimeoutMs i32, TopicData [Name str@-12,
    TopicId uuid@13+, PartitionData [Index i32, Records ?recs]]
0 ProduceResponse v3-13 flex=9: Responses [Name str@-12, TopicId uuid@13+, PartitionResponses [Index i32,
    ErrorCode i16, BaseOffset i64, LogAppendTimeMs i64=-1, LogStartOffset i64@5+=-1, RecordErrors [BatchIndex i32,
    BatchIndexErrorMessage ?str=null]@8+, ErrorMessage ?str@8+=null, CurrentLeader {LeaderId i32=-1, LeaderEpoch
    i32=-1}@10+#0]], ThrottleTimeMs i32, NodeEndpoints [NodeId i32, Host str, Port i32, Rack ?str=null]@10+#0
1 FetchRequest v4-18 flex=12: ClusterId ?str@12+#0=null, ReplicaId i32@-14=-1, ReplicaState {ReplicaId i32=-1,
    ReplicaEpoch i64=-1}@15+#1, MaxWaitMs i32, MinBytes i32, MaxBytes i32=0x7fffffff, IsolationLevel i8, SessionId
    i32@7+, SessionEpoch i32@7+=-1, Topics [Topic str@-12, TopicId uuid@13+, Partitions [Partition i32,
    CurrentLeaderEpoch i32@9+=-1, FetchOffset i64, LastFetchedEpoch i32@12+=-1, LogStartOffset i64@5+=-1,
    PartitionMaxBytes i32, ReplicaDirectoryId uuid@17+#0, HighWatermark i64@18+#1=9223372036854775807]],
    ForgottenTopicsData [Topic str@-12, TopicId uuid@13+, Partitions [i32]]@7+, RackId str@11+
1 FetchResponse v4-18 flex=12: ThrottleTimeMs i32, ErrorCode i16@7+, SessionId i32@7+, Responses [Topic str@-12,
    TopicId uuid@13+, Partitions [PartitionIndex i32, ErrorCode i16, HighWatermark i64, LastStableOffset i64=-1,
    LogStartOffset i64@5+=-1, DivergingEpoch {Epoch i32=-1, EndOffset i64=-1}@12+#0, CurrentLeader {LeaderId
    i32=-1, LeaderEpoch i32=-1}@12+#1, SnapshotId {EndOffset i64=-1, Epoch i32=-1}@12+#2, AbortedTransactions
    ?[ProducerId i64, FirstOffset i64], PreferredReadReplica i32@11+=-1, Records ?recs]], NodeEndpoints [NodeId
    i32, Host str, Port i32, Rack ?str=null]@16+#0
2 ListOffsetsRequest v1-11 flex=6: ReplicaId i32, IsolationLevel i8@2+, Topics [Name str, Partitions
    [PartitionIndex i32, CurrentLeaderEpoch i32@4+=-1, Timestamp i64]], TimeoutMs i32@10+
2 ListOffsetsResponse v1-11 flex=6: ThrottleTimeMs i32@2+, Topics [Name str, Partitions [PartitionIndex i32,
    ErrorCode i16, Timestamp i64=-1, Offset i64=-1, LeaderEpoch i32@4+=-1]]
3 MetadataRequest v0-13 flex=9: Topics ?1+:[TopicId uuid@10+, Name ?10+:str], AllowAutoTopicCreation b@4+=true,
    IncludeClusterAuthorizedOperations b@8-10, IncludeTopicAuthorizedOperations b@8+
3 MetadataResponse v0-13 flex=9: ThrottleTimeMs i32@3+, Brokers [NodeId i32, Host str, Port i32, Rack
    ?str@1+=null], ClusterId ?str@2+=null, ControllerId i32@1+=-1, Topics [ErrorCode i16, Name ?12+:str, TopicId
    uuid@10+, IsInternal b@1+, Partitions [ErrorCode i16, PartitionIndex i32, LeaderId i32, LeaderEpoch i32@7+=-1,
    ReplicaNodes [i32], IsrNodes [i32], OfflineReplicas [i32]@5+], TopicAuthorizedOperations i32@8+=-2147483648],
    ClusterAuthorizedOperations i32@8-10=-2147483648, ErrorCode i16@13+
8 OffsetCommitRequest v2-10 flex=8: GroupId str, GenerationIdOrMemberEpoch i32=-1, MemberId str, GroupInstanceId
    ?str@7+=null, RetentionTimeMs i64@-4=-1, Topics [Name str@-9, TopicId uuid@10+, Partitions [PartitionIndex
    i32, CommittedOffset i64, CommittedLeaderEpoch i32@6+=-1, CommittedMetadata ?str]]
8 OffsetCommitResponse v2-10 flex=8: ThrottleTimeMs i32@3+, Topics [Name str@-9, TopicId uuid@10+, Partitions
    [PartitionIndex i32, ErrorCode i16]]
9 OffsetFetchRequest v1-10 flex=6: GroupId str@-7, Topics ?2+:[Name str, PartitionIndexes [i32]]@-7, Groups
    [GroupId str, MemberId ?str@9+=null, MemberEpoch i32@9+=-1, Topics ?[Name str@-9, TopicId uuid@10+,
    PartitionIndexes [i32]]]@8+, RequireStable b@7+
9 OffsetFetchResponse v1-10 flex=6: ThrottleTimeMs i32@3+, Topics [Name str, Partitions [PartitionIndex i32,
    CommittedOffset i64, CommittedLeaderEpoch i32@5+=-1, Metadata ?str, ErrorCode i16]]@-7, ErrorCode i16@2-7,
    Groups [GroupId str, Topics [Name str@-9, TopicId uuid@10+, Partitions [PartitionIndex i32, CommittedOffset
    i64, CommittedLeaderEpoch i32=-1, Metadata ?str, ErrorCode i16]], ErrorCode i16]@8+
10 FindCoordinatorRequest v0-6 flex=3: Key str@-3, KeyType i8@1+, CoordinatorKeys [str]@4+
10 FindCoordinatorResponse v0-6 flex=3: ThrottleTimeMs i32@1+, ErrorCode i16@-3, ErrorMessage ?str@1-3, NodeId
    i32@-3, Host str@-3, Port i32@-3, Coordinators [Key str, NodeId i32, Host str, Port i32, ErrorCode i16,
    ErrorMessage ?str]@4+
11 JoinGroupRequest v0-9 flex=6: GroupId str, SessionTimeoutMs i32, RebalanceTimeoutMs i32@1+=-1, MemberId str,
    GroupInstanceId ?str@5+=null, ProtocolType str, Protocols [Name str, Metadata bytes], Reason ?str@8+=null
11 JoinGroupResponse v0-9 flex=6: ThrottleTimeMs i32@2+, ErrorCode i16, GenerationId i32=-1, ProtocolType
    ?str@7+=null, ProtocolName ?7+:str, Leader str, SkipAssignment b@9+, MemberId str, Members [MemberId str,
    GroupInstanceId ?str@5+=null, Metadata bytes]
12 HeartbeatRequest v0-4 flex=4: GroupId str, GenerationId i32, MemberId str, GroupInstanceId ?str@3+=null
12 HeartbeatResponse v0-4 flex=4: ThrottleTimeMs i32@1+, ErrorCode i16
13 LeaveGroupRequest v0-5 flex=4: GroupId str, MemberId str@-2, Members [MemberId str, GroupInstanceId ?str=null,
    Reason ?str@5+=null]@3+
13 LeaveGroupResponse v0-5 flex=4: ThrottleTimeMs i32@1+, ErrorCode i16, Members [MemberId str, GroupInstanceId
    ?str, ErrorCode i16]@3+
14 SyncGroupRequest v0-5 flex=4: GroupId str, GenerationId i32, MemberId str, GroupInstanceId ?str@3+=null,
    ProtocolType ?str@5+=null, ProtocolName ?str@5+=null, Assignments [MemberId str, Assignment bytes]
14 SyncGroupResponse v0-5 flex=4: ThrottleTimeMs i32@1+, ErrorCode i16, ProtocolType ?str@5+=null, ProtocolName
    ?str@5+=null, Assignment bytes
15 DescribeGroupsRequest v0-6 flex=5: Groups [str], IncludeAuthorizedOperations b@3+
15 DescribeGroupsResponse v0-6 flex=5: ThrottleTimeMs i32@1+, Groups [ErrorCode i16, ErrorMessage ?str@6+=null,
    GroupId str, GroupState str, ProtocolType str, ProtocolData str, Members [MemberId str, GroupInstanceId
    ?str@4+=null, ClientId str, ClientHost str, MemberMetadata bytes, MemberAssignment bytes],
    AuthorizedOperations i32@3+=-2147483648]
16 ListGroupsRequest v0-5 flex=3: StatesFilter [str]@4+, TypesFilter [str]@5+
16 ListGroupsResponse v0-5 flex=3: ThrottleTimeMs i32@1+, ErrorCode i16, Groups [GroupId str, ProtocolType str,
    GroupState str@4+, GroupType str@5+]
17 SaslHandshakeRequest v0-1 flex=none: Mechanism str
17 SaslHandshakeResponse v0-1 flex=none: ErrorCode i16, Mechanisms [str]
18 ApiVersionsRequest v0-4 flex=3: ClientSoftwareName str@3+, ClientSoftwareVersion str@3+
18 ApiVersionsResponse v0-4 flex=3: ErrorCode i16, ApiKeys [ApiKey i16, MinVersion i16, MaxVersion i16],
    ThrottleTimeMs i32@1+, SupportedFeatures [Name str, MinVersion i16, MaxVersion i16]@3+#0,
    FinalizedFeaturesEpoch i64@3+#1=-1, FinalizedFeatures [Name str, MaxVersionLevel i16, MinVersionLevel
    i16]@3+#2, ZkMigrationReady b@3+#3
19 CreateTopicsRequest v2-7 flex=5: Topics [Name str, NumPartitions i32, ReplicationFactor i16, Assignments
    [PartitionIndex i32, BrokerIds [i32]], Configs [Name str, Value ?str]], timeoutMs i32=60000, validateOnly b
19 CreateTopicsResponse v2-7 flex=5: ThrottleTimeMs i32, Topics [Name str, TopicId uuid@7+, ErrorCode i16,
    ErrorMessage ?str, TopicConfigErrorCode i16@5+#0, NumPartitions i32@5+=-1, ReplicationFactor i16@5+=-1,
    Configs ?[Name str, Value ?str, ReadOnly b, ConfigSource i8=-1, IsSensitive b]@5+]
20 DeleteTopicsRequest v1-6 flex=4: Topics [Name ?str=null, TopicId uuid]@6+, TopicNames [str]@-5, TimeoutMs i32
20 DeleteTopicsResponse v1-6 flex=4: ThrottleTimeMs i32, Responses [Name ?6+:str, TopicId uuid@6+, ErrorCode i16,
    ErrorMessage ?str@5+=null]
21 DeleteRecordsRequest v0-2 flex=2: Topics [Name str, Partitions [PartitionIndex i32, Offset i64]], TimeoutMs i32
21 DeleteRecordsResponse v0-2 flex=2: ThrottleTimeMs i32, Topics [Name str, Partitions [PartitionIndex i32,
    LowWatermark i64, ErrorCode i16]]
22 InitProducerIdRequest v0-6 flex=2: TransactionalId ?str, TransactionTimeoutMs i32, ProducerId i64@3+=-1,
    ProducerEpoch i16@3+=-1, Enable2Pc b@6+, KeepPreparedTxn b@6+
22 InitProducerIdResponse v0-6 flex=2: ThrottleTimeMs i32, ErrorCode i16, ProducerId i64=-1, ProducerEpoch i16,
    OngoingTxnProducerId i64@6+=-1, OngoingTxnProducerEpoch i16@6+=-1
23 OffsetForLeaderEpochRequest v2-4 flex=4: ReplicaId i32@3+=-2, Topics [Topic str, Partitions [Partition i32,
    CurrentLeaderEpoch i32=-1, LeaderEpoch i32]]
23 OffsetForLeaderEpochResponse v2-4 flex=4: ThrottleTimeMs i32, Topics [Topic str, Partitions [ErrorCode i16,
    Partition i32, LeaderEpoch i32=-1, EndOffset i64=-1]]
24 AddPartitionsToTxnRequest v0-5 flex=3: Transactions [TransactionalId str, ProducerId i64, ProducerEpoch i16,
    VerifyOnly b, Topics [Name str, Partitions [i32]]]@4+, V3AndBelowTransactionalId str@-3, V3AndBelowProducerId
    i64@-3, V3AndBelowProducerEpoch i16@-3, V3AndBelowTopics [Name str, Partitions [i32]]@-3
24 AddPartitionsToTxnResponse v0-5 flex=3: ThrottleTimeMs i32, ErrorCode i16@4+, ResultsByTransaction
    [TransactionalId str, TopicResults [Name str, ResultsByPartition [PartitionIndex i32, PartitionErrorCode
    i16]]]@4+, ResultsByTopicV3AndBelow [Name str, ResultsByPartition [PartitionIndex i32, PartitionErrorCode
    i16]]@-3
25 AddOffsetsToTxnRequest v0-4 flex=3: TransactionalId str, ProducerId i64, ProducerEpoch i16, GroupId str
25 AddOffsetsToTxnResponse v0-4 flex=3: ThrottleTimeMs i32, ErrorCode i16
26 EndTxnRequest v0-5 flex=3: TransactionalId str, ProducerId i64, ProducerEpoch i16, Committed b
26 EndTxnResponse v0-5 flex=3: ThrottleTimeMs i32, ErrorCode i16, ProducerId i64@5+=-1, ProducerEpoch i16@5+=-1
27 WriteTxnMarkersRequest v1-2 flex=1: Markers [ProducerId i64, ProducerEpoch i16, TransactionResult b, Topics
    [Name str, PartitionIndexes [i32]], CoordinatorEpoch i32, TransactionVersion i8@2+]
27 WriteTxnMarkersResponse v1-2 flex=1: Markers [ProducerId i64, Topics [Name str, Partitions [PartitionIndex i32,
    ErrorCode i16]]]
28 TxnOffsetCommitRequest v0-5 flex=3: TransactionalId str, GroupId str, ProducerId i64, ProducerEpoch i16,
    GenerationId i32@3+=-1, MemberId str@3+, GroupInstanceId ?str@3+=null, Topics [Name str, Partitions
    [PartitionIndex i32, CommittedOffset i64, CommittedLeaderEpoch i32@2+=-1, CommittedMetadata ?str]]
28 TxnOffsetCommitResponse v0-5 flex=3: ThrottleTimeMs i32, Topics [Name str, Partitions [PartitionIndex i32,
    ErrorCode i16]]
29 DescribeAclsRequest v1-3 flex=2: ResourceTypeFilter i8, ResourceNameFilter ?str, PatternTypeFilter i8=3,
    PrincipalFilter ?str, HostFilter ?str, Operation i8, PermissionType i8
29 DescribeAclsResponse v1-3 flex=2: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, Resources [ResourceType
    i8, ResourceName str, PatternType i8=3, Acls [Principal str, Host str, Operation i8, PermissionType i8]]
30 CreateAclsRequest v1-3 flex=2: Creations [ResourceType i8, ResourceName str, ResourcePatternType i8=3,
    Principal str, Host str, Operation i8, PermissionType i8]
30 CreateAclsResponse v1-3 flex=2: ThrottleTimeMs i32, Results [ErrorCode i16, ErrorMessage ?str]
31 DeleteAclsRequest v1-3 flex=2: Filters [ResourceTypeFilter i8, ResourceNameFilter ?str, PatternTypeFilter i8=3,
    PrincipalFilter ?str, HostFilter ?str, Operation i8, PermissionType i8]
31 DeleteAclsResponse v1-3 flex=2: ThrottleTimeMs i32, FilterResults [ErrorCode i16, ErrorMessage ?str,
    MatchingAcls [ErrorCode i16, ErrorMessage ?str, ResourceType i8, ResourceName str, PatternType i8=3, Principal
    str, Host str, Operation i8, PermissionType i8]]
32 DescribeConfigsRequest v1-4 flex=4: Resources [ResourceType i8, ResourceName str, ConfigurationKeys ?[str]],
    IncludeSynonyms b, IncludeDocumentation b@3+
32 DescribeConfigsResponse v1-4 flex=4: ThrottleTimeMs i32, Results [ErrorCode i16, ErrorMessage ?str,
    ResourceType i8, ResourceName str, Configs [Name str, Value ?str, ReadOnly b, ConfigSource i8=-1, IsSensitive
    b, Synonyms [Name str, Value ?str, Source i8], ConfigType i8@3+, Documentation ?str@3+]]
33 AlterConfigsRequest v0-2 flex=2: Resources [ResourceType i8, ResourceName str, Configs [Name str, Value ?str]],
    ValidateOnly b
33 AlterConfigsResponse v0-2 flex=2: ThrottleTimeMs i32, Responses [ErrorCode i16, ErrorMessage ?str, ResourceType
    i8, ResourceName str]
34 AlterReplicaLogDirsRequest v1-2 flex=2: Dirs [Path str, Topics [Name str, Partitions [i32]]]
34 AlterReplicaLogDirsResponse v1-2 flex=2: ThrottleTimeMs i32, Results [TopicName str, Partitions [PartitionIndex
    i32, ErrorCode i16]]
35 DescribeLogDirsRequest v1-5 flex=2: Topics ?[Topic str, Partitions [i32]]
35 DescribeLogDirsResponse v1-5 flex=2: ThrottleTimeMs i32, ErrorCode i16@3+, Results [ErrorCode i16, LogDir str,
    Topics [Name str, Partitions [PartitionIndex i32, PartitionSize i64, OffsetLag i64, IsFutureKey b]],
    TotalBytes i64@4+=-1, UsableBytes i64@4+=-1, IsCordoned b@5+]
36 SaslAuthenticateRequest v0-2 flex=2: AuthBytes bytes
36 SaslAuthenticateResponse v0-2 flex=2: ErrorCode i16, ErrorMessage ?str, AuthBytes bytes, SessionLifetimeMs i64@1+
37 CreatePartitionsRequest v0-3 flex=2: Topics [Name str, Count i32, Assignments ?[BrokerIds [i32]]], TimeoutMs
    i32, ValidateOnly b
37 CreatePartitionsResponse v0-3 flex=2: ThrottleTimeMs i32, Results [Name str, ErrorCode i16, ErrorMessage
    ?str=null]
38 CreateDelegationTokenRequest v0-3 flex=2: OwnerPrincipalType ?str@3+, OwnerPrincipalName ?str@3+, Renewers
    [PrincipalType str, PrincipalName str], MaxLifetimeMs i64
38 CreateDelegationTokenResponse v0-3 flex=2: ErrorCode i16, PrincipalType str, PrincipalName str,
    TokenRequesterPrincipalType str@3+, TokenRequesterPrincipalName str@3+, IssueTimestampMs i64,
    ExpiryTimestampMs i64, MaxTimestampMs i64, TokenId str, Hmac bytes, ThrottleTimeMs i32
39 RenewDelegationTokenRequest v0-2 flex=2: Hmac bytes, RenewPeriodMs i64
39 RenewDelegationTokenResponse v0-2 flex=2: ErrorCode i16, ExpiryTimestampMs i64, ThrottleTimeMs i32
40 ExpireDelegationTokenRequest v0-2 flex=2: Hmac bytes, ExpiryTimePeriodMs i64
40 ExpireDelegationTokenResponse v0-2 flex=2: ErrorCode i16, ExpiryTimestampMs i64, ThrottleTimeMs i32
41 DescribeDelegationTokenRequest v0-3 flex=2: Owners ?[PrincipalType str, PrincipalName str]
41 DescribeDelegationTokenResponse v0-3 flex=2: ErrorCode i16, Tokens [PrincipalType str, PrincipalName str,
    TokenRequesterPrincipalType str@3+, TokenRequesterPrincipalName str@3+, IssueTimestamp i64, ExpiryTimestamp
    i64, MaxTimestamp i64, TokenId str, Hmac bytes, Renewers [PrincipalType str, PrincipalName str]],
    ThrottleTimeMs i32
42 DeleteGroupsRequest v0-2 flex=2: GroupsNames [str]
42 DeleteGroupsResponse v0-2 flex=2: ThrottleTimeMs i32, Results [GroupId str, ErrorCode i16]
43 ElectLeadersRequest v0-2 flex=2: ElectionType i8@1+, TopicPartitions ?[Topic str, Partitions [i32]], TimeoutMs
    i32=60000
43 ElectLeadersResponse v0-2 flex=2: ThrottleTimeMs i32, ErrorCode i16@1+, ReplicaElectionResults [Topic str,
    PartitionResult [PartitionId i32, ErrorCode i16, ErrorMessage ?str]]
44 IncrementalAlterConfigsRequest v0-1 flex=1: Resources [ResourceType i8, ResourceName str, Configs [Name str,
    ConfigOperation i8, Value ?str]], ValidateOnly b
44 IncrementalAlterConfigsResponse v0-1 flex=1: ThrottleTimeMs i32, Responses [ErrorCode i16, ErrorMessage ?str,
    ResourceType i8, ResourceName str]
45 AlterPartitionReassignmentsRequest v0-1 flex=0: TimeoutMs i32=60000, AllowReplicationFactorChange b@1+=true,
    Topics [Name str, Partitions [PartitionIndex i32, Replicas ?[i32]=null]]
45 AlterPartitionReassignmentsResponse v0-1 flex=0: ThrottleTimeMs i32, AllowReplicationFactorChange b@1+=true,
    ErrorCode i16, ErrorMessage ?str, Responses [Name str, Partitions [PartitionIndex i32, ErrorCode i16,
    ErrorMessage ?str]]
46 ListPartitionReassignmentsRequest v0 flex=0: TimeoutMs i32=60000, Topics ?[Name str, PartitionIndexes [i32]]=null
46 ListPartitionReassignmentsResponse v0 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, Topics
    [Name str, Partitions [PartitionIndex i32, Replicas [i32], AddingReplicas [i32], RemovingReplicas [i32]]]
47 OffsetDeleteRequest v0 flex=none: GroupId str, Topics [Name str, Partitions [PartitionIndex i32]]
47 OffsetDeleteResponse v0 flex=none: ErrorCode i16, ThrottleTimeMs i32, Topics [Name str, Partitions
    [PartitionIndex i32, ErrorCode i16]]
48 DescribeClientQuotasRequest v0-1 flex=1: Components [EntityType str, MatchType i8, Match ?str], Strict b
48 DescribeClientQuotasResponse v0-1 flex=1: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, Entries
    ?[Entity [EntityType str, EntityName ?str], Values [Key str, Value f64]]
49 AlterClientQuotasRequest v0-1 flex=1: Entries [Entity [EntityType str, EntityName ?str], Ops [Key str, Value
    f64, Remove b]], ValidateOnly b
49 AlterClientQuotasResponse v0-1 flex=1: ThrottleTimeMs i32, Entries [ErrorCode i16, ErrorMessage ?str, Entity
    [EntityType str, EntityName ?str]]
50 DescribeUserScramCredentialsRequest v0 flex=0: Users ?[Name str]
50 DescribeUserScramCredentialsResponse v0 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, Results
    [User str, ErrorCode i16, ErrorMessage ?str, CredentialInfos [Mechanism i8, Iterations i32]]
51 AlterUserScramCredentialsRequest v0 flex=0: Deletions [Name str, Mechanism i8], Upsertions [Name str, Mechanism
    i8, Iterations i32, Salt bytes, SaltedPassword bytes]
51 AlterUserScramCredentialsResponse v0 flex=0: ThrottleTimeMs i32, Results [User str, ErrorCode i16, ErrorMessage
    ?str]
55 DescribeQuorumRequest v0-2 flex=0: Topics [TopicName str, Partitions [PartitionIndex i32]]
55 DescribeQuorumResponse v0-2 flex=0: ErrorCode i16, ErrorMessage ?str@2+, Topics [TopicName str, Partitions
    [PartitionIndex i32, ErrorCode i16, ErrorMessage ?str@2+, LeaderId i32, LeaderEpoch i32, HighWatermark i64,
    CurrentVoters [ReplicaId i32, ReplicaDirectoryId uuid@2+, LogEndOffset i64, LastFetchTimestamp i64@1+=-1,
    LastCaughtUpTimestamp i64@1+=-1], Observers [ReplicaId i32, ReplicaDirectoryId uuid@2+, LogEndOffset i64,
    LastFetchTimestamp i64@1+=-1, LastCaughtUpTimestamp i64@1+=-1]]], Nodes [NodeId i32, Listeners [Name str, Host
    str, Port u16]]@2+
57 UpdateFeaturesRequest v0-2 flex=0: timeoutMs i32=60000, FeatureUpdates [Feature str, MaxVersionLevel i16,
    AllowDowngrade b@-0, UpgradeType i8@1+=1], ValidateOnly b@1+
57 UpdateFeaturesResponse v0-2 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, Results [Feature str,
    ErrorCode i16, ErrorMessage ?str]@-1
60 DescribeClusterRequest v0-2 flex=0: IncludeClusterAuthorizedOperations b, EndpointType i8@1+=1,
    IncludeFencedBrokers b@2+
60 DescribeClusterResponse v0-2 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str=null, EndpointType
    i8@1+=1, ClusterId str, ControllerId i32=-1, Brokers [BrokerId i32, Host str, Port i32, Rack ?str=null,
    IsFenced b@2+], ClusterAuthorizedOperations i32=-2147483648
61 DescribeProducersRequest v0 flex=0: Topics [Name str, PartitionIndexes [i32]]
61 DescribeProducersResponse v0 flex=0: ThrottleTimeMs i32, Topics [Name str, Partitions [PartitionIndex i32,
    ErrorCode i16, ErrorMessage ?str=null, ActiveProducers [ProducerId i64, ProducerEpoch i32, LastSequence
    i32=-1, LastTimestamp i64=-1, CoordinatorEpoch i32, CurrentTxnStartOffset i64=-1]]]
64 UnregisterBrokerRequest v0 flex=0: BrokerId i32
64 UnregisterBrokerResponse v0 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str
65 DescribeTransactionsRequest v0 flex=0: TransactionalIds [str]
65 DescribeTransactionsResponse v0 flex=0: ThrottleTimeMs i32, TransactionStates [ErrorCode i16, TransactionalId
    str, TransactionState str, TransactionTimeoutMs i32, TransactionStartTimeMs i64, ProducerId i64, ProducerEpoch
    i16, Topics [Topic str, Partitions [i32]]]
66 ListTransactionsRequest v0-2 flex=0: StateFilters [str], ProducerIdFilters [i64], DurationFilter i64@1+=-1,
    TransactionalIdPattern ?str@2+=null
66 ListTransactionsResponse v0-2 flex=0: ThrottleTimeMs i32, ErrorCode i16, UnknownStateFilters [str],
    TransactionStates [TransactionalId str, ProducerId i64, TransactionState str]
68 ConsumerGroupHeartbeatRequest v0-1 flex=0: Group str, MemberId str, MemberEpoch i32, InstanceId ?str, RackId
    ?str, RebalanceTimeoutMs i32=-1, SubscribedTopicNames ?[str], SubscribedTopicRegex ?str@1+, ServerAssignor
    ?str, Topics ?[TopicId uuid, Partitions [i32]]
68 ConsumerGroupHeartbeatResponse v0-1 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, MemberId
    ?str, MemberEpoch i32, HeartbeatIntervalMs i32, Assignment ?{Topics [TopicId uuid, Partitions [i32]]}
69 ConsumerGroupDescribeRequest v0-1 flex=0: Groups [str], IncludeAuthorizedOperations b
69 ConsumerGroupDescribeResponse v0-1 flex=0: ThrottleTimeMs i32, Groups [ErrorCode i16, ErrorMessage ?str, Group
    str, State str, Epoch i32, AssignmentEpoch i32, AssignorName str, Members [MemberId str, InstanceId ?str,
    RackId ?str, MemberEpoch i32, ClientId str, ClientHost str, SubscribedTopics [str], SubscribedTopicRegex ?str,
    Assignment {TopicPartitions [TopicId uuid, Topic str, Partitions [i32]]}, TargetAssignment {TopicPartitions
    [TopicId uuid, Topic str, Partitions [i32]]}, MemberType i8@1+=-1], AuthorizedOperations i32=-2147483648]
71 GetTelemetrySubscriptionsRequest v0 flex=0: ClientInstanceId uuid
71 GetTelemetrySubscriptionsResponse v0 flex=0: ThrottleTimeMs i32, ErrorCode i16, ClientInstanceId uuid,
    SubscriptionId i32, AcceptedCompressionTypes [i8], PushIntervalMs i32, TelemetryMaxBytes i32, DeltaTemporality
    b, RequestedMetrics [str]
72 PushTelemetryRequest v0 flex=0: ClientInstanceId uuid, SubscriptionId i32, Terminating b, CompressionType i8,
    Metrics bytes
72 PushTelemetryResponse v0 flex=0: ThrottleTimeMs i32, ErrorCode i16
74 ListConfigResourcesRequest v0-1 flex=0: ResourceTypes [i8]@1+
74 ListConfigResourcesResponse v0-1 flex=0: ThrottleTimeMs i32, ErrorCode i16, ConfigResources [ResourceName str,
    ResourceType i8@1+=16]
75 DescribeTopicPartitionsRequest v0 flex=0: Topics [Name str], ResponsePartitionLimit i32=2000, Cursor
    ?{TopicName str, PartitionIndex i32}=null
75 DescribeTopicPartitionsResponse v0 flex=0: ThrottleTimeMs i32, Topics [ErrorCode i16, Name ?str, TopicId uuid,
    IsInternal b, Partitions [ErrorCode i16, PartitionIndex i32, LeaderId i32, LeaderEpoch i32=-1, ReplicaNodes
    [i32], IsrNodes [i32], EligibleLeaderReplicas ?[i32]=null, LastKnownElr ?[i32]=null, OfflineReplicas [i32]],
    TopicAuthorizedOperations i32=-2147483648], NextCursor ?{TopicName str, PartitionIndex i32}=null
76 ShareGroupHeartbeatRequest v1 flex=0: GroupId str, MemberId str, MemberEpoch i32, RackId ?str,
    SubscribedTopicNames ?[str]
76 ShareGroupHeartbeatResponse v1 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, MemberId ?str,
    MemberEpoch i32, HeartbeatIntervalMs i32, Assignment ?{TopicPartitions [TopicId uuid, Partitions [i32]]}
77 ShareGroupDescribeRequest v1 flex=0: GroupIds [str], IncludeAuthorizedOperations b
77 ShareGroupDescribeResponse v1 flex=0: ThrottleTimeMs i32, Groups [ErrorCode i16, ErrorMessage ?str, GroupId
    str, GroupState str, GroupEpoch i32, AssignmentEpoch i32, Assignor str, Members [MemberId str, RackId ?str,
    MemberEpoch i32, ClientId str, ClientHost str, SubscribedTopicNames [str], Assignment {TopicPartitions
    [TopicId uuid, Topic str, Partitions [i32]]}], AuthorizedOperations i32=-2147483648]
78 ShareFetchRequest v1-2 flex=0: GroupId ?str, MemberId ?str, ShareSessionEpoch i32, MaxWaitMs i32, MinBytes i32,
    MaxBytes i32=0x7fffffff, MaxRecords i32, BatchSize i32, ShareAcquireMode i8@2+, IsRenewAck b@2+, Topics
    [TopicId uuid, Partitions [Partition i32, AcknowledgementBatches [FirstOffset i64, LastOffset i64,
    AcknowledgeTypes [i8]]]], ForgottenTopicsData [TopicId uuid, Partitions [i32]]
78 ShareFetchResponse v1-2 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, AcquisitionLockTimeoutMs
    i32, Topics [TopicId uuid, Partitions [Partition i32, ErrorCode i16, ErrorMessage ?str, AcknowledgeErrorCode
    i16, AcknowledgeErrorMessage ?str, CurrentLeader {LeaderId i32, LeaderEpoch i32}, Records ?recs,
    AcquiredRecords [FirstOffset i64, LastOffset i64, DeliveryCount i16]]], NodeEndpoints [NodeId i32, Host str,
    Port i32, Rack ?str]
79 ShareAcknowledgeRequest v1-2 flex=0: GroupId ?str, MemberId ?str, ShareSessionEpoch i32, IsRenewAck b@2+,
    Topics [TopicId uuid, Partitions [Partition i32, AcknowledgementBatches [FirstOffset i64, LastOffset i64,
    AcknowledgeTypes [i8]]]]
79 ShareAcknowledgeResponse v1-2 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str,
    AcquisitionLockTimeoutMs i32@2+, Topics [TopicId uuid, Partitions [Partition i32, ErrorCode i16, ErrorMessage
    ?str, CurrentLeader {LeaderId i32, LeaderEpoch i32}]], NodeEndpoints [NodeId i32, Host str, Port i32, Rack
    ?str]
90 DescribeShareGroupOffsetsRequest v0-1 flex=0: Groups [GroupId str, Topics ?[Topic str, Partitions [i32]]]
90 DescribeShareGroupOffsetsResponse v0-1 flex=0: ThrottleTimeMs i32, Groups [GroupId str, Topics [Topic str,
    TopicId uuid, Partitions [Partition i32, StartOffset i64, LeaderEpoch i32, Lag i64@1+=-1, ErrorCode i16,
    ErrorMessage ?str]], ErrorCode i16, ErrorMessage ?str]
91 AlterShareGroupOffsetsRequest v0 flex=0: GroupId str, Topics [Topic str, Partitions [Partition i32, StartOffset
    i64]]
91 AlterShareGroupOffsetsResponse v0 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, Topics [Topic
    str, TopicId uuid, Partitions [Partition i32, ErrorCode i16, ErrorMessage ?str]]
92 DeleteShareGroupOffsetsRequest v0 flex=0: GroupId str, Topics [Topic str]
92 DeleteShareGroupOffsetsResponse v0 flex=0: ThrottleTimeMs i32, ErrorCode i16, ErrorMessage ?str, Topics [Topic
    str, TopicId uuid, ErrorCode i16, ErrorMessage ?str]
- RequestHeader v1-2 flex=2: RequestApiKey i16, RequestApiVersion i16, CorrelationId i32, ClientId ?str
- ResponseHeader v0-1 flex=1: CorrelationId i32
- ConsumerProtocolSubscription v0-3 flex=none: Topics [str], UserData ?bytes=null, OwnedPartitions [Topic str,
    Partitions [i32]]@1+, GenerationId i32@2+=-1, RackId ?str@3+=null
- ConsumerProtocolAssignment v0-3 flex=none: AssignedPartitions [Topic str, Partitions [i32]], UserData ?bytes=null
"""
"""A line that begins with a blank goes on with the one before."""
