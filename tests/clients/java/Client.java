// The Java client as a program (see ../README.md): dev.openfeature.contrib.providers:go-feature-flag 0.4.x.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.openfeature.contrib.providers.gofeatureflag.GoFeatureFlagProvider;
import dev.openfeature.contrib.providers.gofeatureflag.GoFeatureFlagProviderOptions;
import dev.openfeature.sdk.EvaluationContext;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.Structure;
import dev.openfeature.sdk.Value;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

public final class Client {
    private static final ObjectMapper JSON = new ObjectMapper();
    private GoFeatureFlagProvider provider;
    private dev.openfeature.sdk.Client client;

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Client client = new Client();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode command = JSON.readTree(line);
            ObjectNode answer = client.run(command);
            out.println("= " + JSON.writeValueAsString(answer));
            if (command.get("do").asText().equals("close")) {
                break;
            }
        }
        // The client's threads are not daemons.
        System.exit(0);
    }

    private ObjectNode run(JsonNode command) throws Exception {
        switch (command.get("do").asText()) {
            case "start":
                start(command);
                return JSON.createObjectNode();
            case "evaluate":
                ObjectNode answer = JSON.createObjectNode();
                ArrayNode results = answer.putArray("results");
                for (JsonNode asked : command.get("evaluations")) {
                    results.add(evaluate(asked));
                }
                return answer;
            case "post":
                return post(command);
            case "close":
                // The SDK's own shutdown does the same in another thread, for which nobody waits.
                provider.shutdown();
                return JSON.createObjectNode();
            default:
                throw new IllegalArgumentException("no command " + command);
        }
    }

    private void start(JsonNode command) throws Exception {
        Map<String, Object> metadata = new HashMap<>();
        command.path("metadata").fields().forEachRemaining(entry -> metadata.put(entry.getKey(), plain(entry.getValue())));
        GoFeatureFlagProviderOptions options = GoFeatureFlagProviderOptions.builder()
                .endpoint(command.get("endpoint").asText())
                .apiKey(command.path("key").textValue())
                .flushIntervalMs(command.get("flush").asLong())
                .flagChangePollingIntervalMs(command.get("flush").asLong())
                .exporterMetadata(metadata)
                .build();
        provider = new GoFeatureFlagProvider(options);
        OpenFeatureAPI.getInstance().setProviderAndWait(provider);
        client = OpenFeatureAPI.getInstance().getClient();
    }

    private ObjectNode evaluate(JsonNode asked) {
        String flag = asked.get("flag").asText();
        JsonNode otherwise = asked.get("default");
        Map<String, Value> attributes = new HashMap<>();
        asked.path("attributes").fields().forEachRemaining(entry -> attributes.put(entry.getKey(), value(entry.getValue())));
        EvaluationContext context = new ImmutableContext(asked.get("user").asText(), attributes);
        FlagEvaluationDetails<?> found;
        switch (asked.get("type").asText()) {
            case "boolean":
                found = client.getBooleanDetails(flag, otherwise.asBoolean(), context);
                break;
            case "string":
                found = client.getStringDetails(flag, otherwise.asText(), context);
                break;
            case "integer":
                found = client.getIntegerDetails(flag, otherwise.asInt(), context);
                break;
            case "float":
                found = client.getDoubleDetails(flag, otherwise.asDouble(), context);
                break;
            default:
                found = client.getObjectDetails(flag, value(otherwise), context);
        }
        ObjectNode answer = JSON.createObjectNode();
        answer.put("flag", flag);
        answer.set("user", asked.get("user"));
        Object value = found.getValue();
        answer.set("value", JSON.valueToTree(value instanceof Value ? plain((Value) value) : value));
        answer.put("variation", found.getVariant());
        answer.put("reason", found.getReason());
        answer.put("error", found.getErrorCode() == null ? null : found.getErrorCode() + ": " + found.getErrorMessage());
        return answer;
    }

    /** A POST with the JDK's own client, as version 1.x of the provider makes it: it offers to switch to HTTP/2. */
    private ObjectNode post(JsonNode command) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(command.get("url").asText()))
                .header("Content-Type", "application/json")
                .header("Authorization", "Bearer " + command.get("key").asText())
                .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(command.get("body"))))
                .build();
        HttpResponse<String> response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        ObjectNode answer = JSON.createObjectNode();
        answer.put("status", response.statusCode());
        answer.put("version", response.version().toString());
        answer.set("body", JSON.readTree(response.body()));
        return answer;
    }

    private static Object plain(JsonNode node) {
        return JSON.convertValue(node, Object.class);
    }

    private static Object plain(Value value) {
        if (value.isStructure()) {
            return value.asStructure().asObjectMap();
        }
        return value.asObject();
    }

    private static Value value(JsonNode node) {
        if (node.isObject()) {
            return new Value(Structure.mapToStructure(JSON.convertValue(node, Map.class)));
        }
        if (node.isBoolean()) {
            return new Value(node.asBoolean());
        }
        if (node.isInt()) {
            return new Value(node.asInt());
        }
        if (node.isNumber()) {
            return new Value(node.asDouble());
        }
        return new Value(node.asText());
    }
}
