import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.stream.Collectors;
import javax.net.ssl.HttpsURLConnection;

/** Java's two HTTP clients, without any setting of their own. Prints one line for each answer. */
public final class Calls {
    private static final String URL = "https://api.openai.com/v1/chat/completions";

    private static String ask(String text, boolean streamed) {
        return "{\"model\":\"gpt-4o-mini\",\"temperature\":0,\"stream\":" + streamed
                + ",\"messages\":[{\"role\":\"user\",\"content\":\"" + text + "\"}]}";
    }

    private static HttpRequest post(String body) {
        return HttpRequest.newBuilder(URI.create(URL))
                .header("authorization", "Bearer " + System.getenv("OPENAI_API_KEY"))
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
    }

    public static void main(String[] arguments) throws Exception {
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        HttpClient client = HttpClient.newHttpClient();
        for (int time = 0; time < 2; time++) {
            var whole = client.send(post(ask("java", false)), BodyHandlers.ofString());
            out.println(whole.statusCode() + " " + whole.body());
        }
        var lines = client.send(post(ask("java stream", true)), BodyHandlers.ofLines());
        out.println(lines.body().filter(line -> line.startsWith("data:")).collect(Collectors.joining("|")));
        var older = (HttpsURLConnection) URI.create(URL).toURL().openConnection();
        older.setRequestProperty("authorization", "Bearer " + System.getenv("OPENAI_API_KEY"));
        older.setRequestProperty("content-type", "application/json");
        older.setDoOutput(true);
        older.getOutputStream().write(ask("java", false).getBytes(StandardCharsets.UTF_8));
        int status = older.getResponseCode();
        var text = new String(older.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        out.println(status + " " + text);
    }
}
