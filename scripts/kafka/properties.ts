export interface KafkaPorts {
  readonly plaintext: number;
  readonly sasl: number;
  readonly controller: number;
}

/** One of several brokers that are one cluster; all are started at the same time, and each waits for most of the others. */
export interface Member {
  readonly nodeId: number;
  /** Of all members: `1@127.0.0.1:port,2@…`. */
  readonly voters: string;
  readonly clusterId: string;
  /** Copies of what the cluster keeps for itself; a topic's own are said when it is made. */
  readonly replication: number;
  /** A write needs so many copies. */
  readonly minInSync: number;
}

export interface KafkaCredentials {
  readonly user: string;
  readonly password: string;
}

/** What a broker's properties are made of. */
export interface Setup {
  readonly ports: KafkaPorts;
  readonly credentials: KafkaCredentials;
  readonly advertisedSasl: number;
  readonly member: Member;
}

/** `server.properties` of a small broker on loopback. */
export function properties(data: string, { ports, credentials, advertisedSasl, member }: Setup): string {
  const { user, password } = credentials;
  const jaas = "org.apache.kafka.common.security";
  const lines: Record<string, string | number | boolean> = {
    "process.roles": "broker,controller",
    "node.id": member.nodeId,
    "controller.quorum.voters": member.voters,
    listeners: `PLAINTEXT://127.0.0.1:${ports.plaintext},SASL://127.0.0.1:${ports.sasl},CONTROLLER://127.0.0.1:${ports.controller}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${ports.plaintext},SASL://127.0.0.1:${advertisedSasl}`,
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "listener.name.sasl.plain.sasl.jaas.config": `${jaas}.plain.PlainLoginModule required user_${user}="${password}";`,
    "listener.name.sasl.scram-sha-256.sasl.jaas.config": `${jaas}.scram.ScramLoginModule required;`,
    "listener.name.sasl.scram-sha-512.sasl.jaas.config": `${jaas}.scram.ScramLoginModule required;`,
    "log.dirs": data,
    "auto.create.topics.enable": false,
    "min.insync.replicas": member.minInSync,
    // One node cannot have the three replicas of the defaults, and nobody needs their fifty partitions.
    "offsets.topic.replication.factor": member.replication,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    // After a kill the broker may register again when the session of its predecessor is over: 12 s with the defaults.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 500,
    "num.network.threads": 1,
    "num.io.threads": 2,
    "log.cleaner.dedupe.buffer.size": 2 ** 21, // the default takes 128 MB of heap
  };
  return propertyLines(lines);
}

/** Of a property that is there twice, Java takes the last. */
export const propertyLines = (properties: Readonly<Record<string, string | number | boolean>>): string =>
  Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
