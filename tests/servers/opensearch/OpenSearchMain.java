import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One node on the loopback interface: OpenSearchMain HOME HTTP-PORT TRANSPORT-PORT. */
public class OpenSearchMain extends Node {
    OpenSearchMain(Settings settings) {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "tests"), List.of(Netty4Plugin.class), true);
    }

    public static void main(String[] args) throws Exception {
        Settings settings = Settings.builder()
            .put("path.home", args[0])
            .put("cluster.name", "tests")
            .put("node.name", "tests")
            .put("network.host", "127.0.0.1")
            .put("http.port", args[1])
            .put("transport.port", args[2])
            .put("discovery.type", "single-node")
            .put("transport.type", "netty4")
            .put("http.type", "netty4")
            // A test machine's disk may be nearly full.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        new OpenSearchMain(settings).start();
        System.out.println("STARTED");
        Thread.currentThread().join();
    }
}
