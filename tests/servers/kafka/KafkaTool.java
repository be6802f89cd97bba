import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.Utils;

/**
 * Kafka's official client behind standard input and output: what the tests do to a broker and read back from it. One command per line, its parts
 * separated by tabs; the answer is lines that begin with a tab, then `ok` or `failed` and the reason. One process serves a whole test run: a JVM
 * takes a second to start.
 */
public class KafkaTool {
  public static void main(String[] args) throws Exception {
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var out = new java.io.PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false, StandardCharsets.UTF_8);
    for (String line; (line = in.readLine()) != null; ) {
      var parts = line.split("\t", -1);
      try {
        for (var answer : run(parts[0], parts[1], Arrays.copyOfRange(parts, 2, parts.length))) out.println("\t" + answer);
        out.println("ok");
      } catch (Exception error) {
        var cause = error instanceof ExecutionException ? error.getCause() : error;
        out.println("failed " + cause.toString().replaceAll("\\s+", " "));
      }
      out.flush();
    }
  }

  static List<String> run(String command, String servers, String[] a) throws Exception {
    if (command.equals("read")) return read(servers, a[0], a[1], Integer.parseInt(a[2]), Long.parseLong(a[3]));
    if (command.equals("murmur2")) { // partitions key...: where Java's producer puts these keys
      var found = new ArrayList<String>();
      for (int i = 1; i < a.length; i++)
        found.add("" + Utils.toPositive(Utils.murmur2(a[i].getBytes(StandardCharsets.UTF_8))) % Integer.parseInt(a[0]));
      return found;
    }
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) servers, "default.api.timeout.ms", "20000", "request.timeout.ms", "10000"))) {
      switch (command) {
        case "topic" -> { // name partitions key=value...
          var configs = new HashMap<String, String>();
          for (int i = 2; i < a.length; i++) { var kv = a[i].split("=", 2); configs.put(kv[0], kv[1]); }
          admin.createTopics(List.of(new NewTopic(a[0], Integer.parseInt(a[1]), (short) 1).configs(configs))).all().get();
        }
        case "alter" -> { // topic key=value
          var kv = a[1].split("=", 2);
          var topic = new ConfigResource(ConfigResource.Type.TOPIC, a[0]);
          admin.incrementalAlterConfigs(Map.of(topic, List.of(new AlterConfigOp(new ConfigEntry(kv[0], kv[1]), AlterConfigOp.OpType.SET)))).all().get();
        }
        case "user" -> { // name password: SCRAM, both mechanisms; a request may name a user once
          for (var mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
            var credential = new UserScramCredentialUpsertion(a[0], new ScramCredentialInfo(mechanism, 4096), a[1]);
            admin.alterUserScramCredentials(List.of(credential)).all().get();
          }
        }
        case "allow" -> { // user resourceType name operation...; a name that ends in * is a prefix
          var prefix = a[2].endsWith("*");
          var name = prefix ? a[2].substring(0, a[2].length() - 1) : a[2];
          var pattern = new ResourcePattern(ResourceType.fromString(a[1]), name, prefix ? PatternType.PREFIXED : PatternType.LITERAL);
          var bindings = new ArrayList<AclBinding>();
          for (int i = 3; i < a.length; i++)
            bindings.add(new AclBinding(pattern, new AccessControlEntry("User:" + a[0], "*", AclOperation.fromString(a[i]), AclPermissionType.ALLOW)));
          admin.createAcls(bindings).all().get();
        }
        case "quota" -> { // client-id key=value; an empty value removes
          var kv = a[1].split("=", 2);
          var entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, a[0]));
          var op = new ClientQuotaAlteration.Op(kv[0], kv[1].isEmpty() ? null : Double.valueOf(kv[1]));
          admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(op)))).all().get();
        }
        case "topics" -> { return new ArrayList<>(admin.listTopics().names().get()); }
        default -> throw new IllegalArgumentException("no such command: " + command);
      }
    }
    return List.of();
  }

  /** All messages of a topic, partition by partition: partition, key and value in base64. Waits until there are `count`, at most `millis`; then reads on to the end. */
  static List<String> read(String servers, String topic, String isolation, int count, long millis) {
    var found = new ArrayList<String>();
    Map<String, Object> config = Map.of("bootstrap.servers", servers, "isolation.level", isolation, "auto.offset.reset", "earliest",
        "enable.auto.commit", "false", "fetch.max.wait.ms", "50", "max.poll.records", "5000", "check.crcs", "true",
        "allow.auto.create.topics", "false", "default.api.timeout.ms", "20000");
    try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      var partitions = new ArrayList<TopicPartition>();
      for (var info : consumer.partitionsFor(topic)) partitions.add(new TopicPartition(topic, info.partition()));
      partitions.sort(Comparator.comparingInt(TopicPartition::partition));
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      var base64 = Base64.getEncoder();
      var until = System.nanoTime() + millis * 1_000_000;
      while (true) {
        // The end is asked for first: what it covers is read before it counts.
        var ends = consumer.endOffsets(partitions);
        do {
          for (var record : consumer.poll(Duration.ofMillis(50))) {
            var key = record.key() == null ? "null" : base64.encodeToString(record.key());
            var value = record.value() == null ? "null" : base64.encodeToString(record.value());
            found.add(record.partition() + " " + key + " " + value);
          }
        } while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition)) && System.nanoTime() < until);
        if (found.size() >= count || System.nanoTime() > until) return found;
      }
    }
  }
}
