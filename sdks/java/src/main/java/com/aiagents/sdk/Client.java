package com.aiagents.sdk;

import com.aiagents.sdk.internal.Answer;
import com.aiagents.sdk.internal.BaseUrl;
import com.aiagents.sdk.internal.Credentials;
import com.aiagents.sdk.internal.OAuth;
import com.aiagents.sdk.internal.RawAnswers;
import com.aiagents.sdk.internal.Settings;
import com.aiagents.sdk.internal.Transport;
import com.aiagents.sdk.resources.ClientResources;
import java.net.http.HttpClient;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * A client of the API. It does not change, and any number of threads may use it.
 *
 * <pre>{@code
 * Client client = Client.builder().baseUrl("https://delivery.example.com").apiKey(key).build();
 * for (Project project : client.projects().list(orgId)) {
 *   System.out.println(project.name());
 * }
 * }</pre>
 */
public final class Client extends ClientResources {
  private final Settings settings;
  private final Transport transport;

  private Client(Settings settings, Transport transport) {
    super(transport);
    this.settings = settings;
    this.transport = transport;
  }

  /** A client of what the environment says: AI_AGENTS_BASE_URL and AI_AGENTS_API_KEY. */
  public static Client create() {
    return builder().build();
  }

  public static Builder builder() {
    return new Builder();
  }

  /**
   * Status, headers and body beside what a call returns.
   *
   * <pre>{@code
   * RawResponse<Project> raw = client.withRawResponse(c -> c.projects().get(id));
   * raw.header("ETag");
   * }</pre>
   *
   * @param call makes one call with the client that it is given; of several the last one is told
   * @throws IllegalStateException it made no call
   */
  public <T> RawResponse<T> withRawResponse(Function<Client, T> call) {
    AtomicReference<Answer> seen = new AtomicReference<>();
    T parsed = call.apply(new Client(settings, transport.observedBy(seen::set)));
    if (seen.get() == null) {
      throw new IllegalStateException("withRawResponse: no call was made with the client it gave");
    }
    return RawAnswers.of(seen.get(), parsed);
  }

  /** Without credentials. */
  @Override
  public String toString() {
    return "Client[" + settings + "]";
  }

  /** Makes a {@link Client}. */
  public static final class Builder {
    private static final Duration CONNECT = Duration.ofSeconds(10);

    private String baseUrl;
    private String apiKey;
    private Supplier<String> token;
    private String clientId;
    private String clientSecret;
    private String scope;
    private String refreshToken;
    private Consumer<String> onRefreshToken;
    private boolean anonymous;
    private Duration timeout = Duration.ofSeconds(60);
    private int maxRetries = 2;
    private HttpClient httpClient;
    private final Map<String, String> headers = new LinkedHashMap<>();
    private Function<String, String> environment = System::getenv;

    private Builder() {}

    /** Where the API is, with or without {@code /v1}; else AI_AGENTS_BASE_URL says it. */
    public Builder baseUrl(String baseUrl) {
      this.baseUrl = baseUrl;
      return this;
    }

    /** An API key; without any credentials AI_AGENTS_API_KEY is used. */
    public Builder apiKey(String apiKey) {
      this.apiKey = Objects.requireNonNull(apiKey, "apiKey");
      return this;
    }

    /** An access token. */
    public Builder token(String token) {
      Objects.requireNonNull(token, "token");
      return token(() -> token);
    }

    /** Gives an access token; it is asked before each request, in any thread. */
    public Builder token(Supplier<String> token) {
      this.token = token;
      return this;
    }

    /** A service account: the client fetches access tokens, and renews them before they end. */
    public Builder clientCredentials(String clientId, String clientSecret) {
      this.clientId = Objects.requireNonNull(clientId, "clientId");
      this.clientSecret = Objects.requireNonNull(clientSecret, "clientSecret");
      return this;
    }

    /** Which permissions the access tokens are for; without it all. */
    public Builder scope(String scope) {
      this.scope = scope;
      return this;
    }

    /**
     * An application's refresh token. Each use makes it invalid and gives a new one, which {@code onRefreshToken} must keep:
     * using an old one again ends the login.
     *
     * @param clientId of a public application; one with a secret says both in {@link #clientCredentials}, and null here
     * @param onRefreshToken sees each new one, in any thread; may be null
     */
    public Builder refreshToken(String clientId, String refreshToken, Consumer<String> onRefreshToken) {
      this.clientId = clientId == null ? this.clientId : clientId;
      this.refreshToken = Objects.requireNonNull(refreshToken, "refreshToken");
      this.onRefreshToken = onRefreshToken;
      return this;
    }

    /** No credentials: for {@code health()} and what else the API tells everybody. */
    public Builder anonymous() {
      anonymous = true;
      return this;
    }

    /** How long one try may take: 60 seconds, if it is not said. */
    public Builder timeout(Duration timeout) {
      this.timeout = RequestOptions.builder().timeout(Objects.requireNonNull(timeout)).build().timeout().orElseThrow();
      return this;
    }

    /** How often a call is tried again: twice, if it is not said; 0: never. */
    public Builder maxRetries(int maxRetries) {
      this.maxRetries = RequestOptions.builder().maxRetries(maxRetries).build().maxRetries().orElseThrow();
      return this;
    }

    /** A header of all requests. */
    public Builder header(String name, String value) {
      headers.put(name, value);
      return this;
    }

    /** Your own HTTP client: proxies, certificates, executors. It should not follow redirects. */
    public Builder httpClient(HttpClient httpClient) {
      this.httpClient = httpClient;
      return this;
    }

    /** For tests: what stands in the environment. */
    Builder environment(Function<String, String> environment) {
      this.environment = environment;
      return this;
    }

    /**
     * @throws IllegalArgumentException no address, no credentials or two of them, or one that cannot be
     */
    public Client build() {
      String address = baseUrl != null ? baseUrl : environment.apply("AI_AGENTS_BASE_URL");
      if (address == null || address.isBlank()) {
        throw new IllegalArgumentException("where is the API? Say baseUrl(...), or set AI_AGENTS_BASE_URL");
      }
      Settings settings =
          new Settings(
              httpClient != null ? httpClient : HttpClient.newBuilder().connectTimeout(CONNECT).build(),
              BaseUrl.of(address),
              credentials(),
              timeout,
              maxRetries,
              Map.copyOf(headers),
              null);
      return new Client(settings, new Transport(settings));
    }

    private Credentials credentials() {
      boolean oauth = clientSecret != null || refreshToken != null;
      int given = (apiKey != null ? 1 : 0) + (token != null ? 1 : 0) + (oauth ? 1 : 0) + (anonymous ? 1 : 0);
      if (given > 1) {
        throw new IllegalArgumentException("one way to say who you are: apiKey, token, clientCredentials, refreshToken or anonymous");
      }
      if (oauth) {
        return new OAuth(clientId, clientSecret, scope, refreshToken, onRefreshToken);
      }
      if (token != null) {
        return Credentials.token(token);
      }
      String key = apiKey != null || anonymous ? apiKey : environment.apply("AI_AGENTS_API_KEY");
      if (key == null && !anonymous) {
        throw new IllegalArgumentException(
            "who are you? Say apiKey(...), token(...), clientCredentials(...) or anonymous(), or set AI_AGENTS_API_KEY");
      }
      return anonymous ? Credentials.none() : Credentials.key(key);
    }

    /** Without credentials. */
    @Override
    public String toString() {
      return "Client.Builder[" + baseUrl + "]";
    }
  }
}
