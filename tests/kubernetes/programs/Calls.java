import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;
import javax.net.ssl.HttpsURLConnection;

/**
 * Java's two HTTP clients, as an application in a container uses them. `ask CLIENT HOST PROMPT` makes the same call
 * twice; `trust CLIENT URL...` says of each server whether it is trusted. Prints JSON.
 */
public final class Calls {
    private static final String FIELD = "x-skinflint-cache";
    private static final Pattern WORDS = Pattern.compile("\"content\":\\s*(\"(?:[^\"\\\\]|\\\\.)*\")");

    private static String chat(String prompt) {
        return "{\"model\":\"gpt-4o-mini\",\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":\"" + prompt + "\"}]}";
    }

    private static String answer(int status, String cache, String body) {
        var words = WORDS.matcher(body);
        String said = words.find() ? words.group(1) : "\"\"";
        return "{\"status\":" + status + ",\"cache\":\"" + cache + "\",\"said\":" + said + "}";
    }

    private static String byHttpClient(HttpClient client, URI uri, String prompt) throws Exception {
        var call = HttpRequest.newBuilder(uri)
                .header("authorization", "Bearer sk-test")
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(chat(prompt)))
                .build();
        var made = client.send(call, BodyHandlers.ofString());
        return answer(made.statusCode(), made.headers().firstValue(FIELD).orElse(""), made.body());
    }

    private static String byUrlConnection(URI uri, String prompt) throws Exception {
        var made = (HttpsURLConnection) uri.toURL().openConnection();
        made.setRequestProperty("authorization", "Bearer sk-test");
        made.setRequestProperty("content-type", "application/json");
        made.setDoOutput(true);
        made.getOutputStream().write(chat(prompt).getBytes(StandardCharsets.UTF_8));
        int status = made.getResponseCode();
        String body = new String(made.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        String cache = made.getHeaderField(FIELD);
        return answer(status, cache == null ? "" : cache, body);
    }

    private static String judged(String client, URI uri) {
        try {
            if (client.equals("http")) {
                HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), BodyHandlers.discarding());
            } else {
                ((HttpsURLConnection) uri.toURL().openConnection()).getResponseCode();
            }
            return "trusted";
        } catch (Exception failure) {
            var said = new StringBuilder();
            for (Throwable each = failure; each != null; each = each.getCause()) {
                said.append(each.getClass().getSimpleName()).append(": ").append(each.getMessage()).append("; ");
            }
            return said.toString().replaceAll("[\"\\\\\\p{Cntrl}]", "'");
        }
    }

    public static void main(String[] arguments) throws Exception {
        var told = new StringBuilder();
        if (arguments[0].equals("trust")) {
            for (int index = 2; index < arguments.length; index++) {
                told.append(index > 2 ? "," : "").append('"').append(judged(arguments[1], URI.create(arguments[index]))).append('"');
            }
        } else {
            var uri = URI.create("https://" + arguments[2] + "/v1/chat/completions");
            var client = HttpClient.newHttpClient();
            for (int time = 0; time < 2; time++) {
                told.append(time > 0 ? "," : "").append(arguments[1].equals("http")
                        ? byHttpClient(client, uri, arguments[3])
                        : byUrlConnection(uri, arguments[3]));
            }
        }
        System.out.println("[" + told + "]");
    }
}
