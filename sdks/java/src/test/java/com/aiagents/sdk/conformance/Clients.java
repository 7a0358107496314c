package com.aiagents.sdk.conformance;

import com.aiagents.sdk.Client;
import com.aiagents.sdk.RawResponse;
import com.aiagents.sdk.RequestOptions;
import com.aiagents.sdk.internal.Json;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;

/** Clients by their names, and their calls by the names of the API, through the classes that a user calls. */
final class Clients {
  private final Map<String, Client> clients = new ConcurrentHashMap<>();

  ObjectNode make(String name, JsonNode options) {
    Client.Builder builder = Client.builder();
    if (options.hasNonNull("base_url")) {
      builder.baseUrl(options.get("base_url").asText());
    }
    if (options.hasNonNull("api_key")) {
      builder.apiKey(options.get("api_key").asText());
    }
    if (options.hasNonNull("token")) {
      builder.token(options.get("token").asText());
    }
    if (options.hasNonNull("token_function")) {
      builder.token(() -> options.get("token_function").asText());
    }
    String id = options.path("client_id").asText(null);
    if (options.hasNonNull("client_secret")) {
      builder.clientCredentials(id, options.get("client_secret").asText());
    }
    if (options.hasNonNull("refresh_token")) {
      builder.refreshToken(id, options.get("refresh_token").asText(), null);
    }
    if (options.hasNonNull("scope")) {
      builder.scope(options.get("scope").asText());
    }
    if (options.hasNonNull("timeout")) {
      builder.timeout(Runner.seconds(options.get("timeout")));
    }
    if (options.hasNonNull("max_retries")) {
      builder.maxRetries(options.get("max_retries").asInt());
    }
    options.path("extra_headers").properties().forEach(one -> builder.header(one.getKey(), one.getValue().asText()));
    clients.put(name, builder.build());
    return Runner.object();
  }

  Client client(JsonNode command) {
    return clients.get(command.path("client").asText());
  }

  Object call(JsonNode command) throws Throwable {
    return call(client(command), command);
  }

  ObjectNode raw(JsonNode command) {
    RawResponse<Object> raw =
        client(command)
            .withRawResponse(
                client -> {
                  try {
                    return call(client, command);
                  } catch (RuntimeException | Error failure) {
                    throw failure;
                  } catch (Throwable failure) {
                    throw new IllegalStateException(failure);
                  }
                });
    ObjectNode answer = Runner.object().put("status", raw.status()).put("body", raw.body());
    answer.set("headers", Json.tree(raw.headers()));
    return answer;
  }

  private static Object call(Client client, JsonNode command) throws Throwable {
    String[] names = command.path("method").asText().split("\\.");
    boolean follow = command.path("arguments").path("follow").asBoolean(false);
    String name = follow ? "follow" + pascal(names[1]) : camel(names[1]);
    Class<?> params = found("com.aiagents.sdk.params." + pascal(names[0]) + pascal(names[1]) + "Params");
    Object builder = params.getMethod("builder").invoke(null);
    for (Map.Entry<String, JsonNode> one : command.path("arguments").properties()) {
      if (!one.getKey().equals("follow")) {
        set(builder, one.getKey(), one.getValue());
      }
    }
    try {
      Object built = builder.getClass().getMethod("build").invoke(builder);
      Object resource = client.getClass().getMethod(camel(names[0])).invoke(client);
      Method method = resource.getClass().getMethod(name, params, RequestOptions.class);
      return method.invoke(resource, built, options(command.path("options")));
    } catch (InvocationTargetException failure) {
      throw failure.getCause();
    }
  }

  /** Of a parameter that takes a type and its text, the type. */
  private static void set(Object builder, String name, JsonNode value) throws Throwable {
    Method setter =
        Stream.of(builder.getClass().getDeclaredMethods())
            .filter(one -> one.getName().equals(camel(name)) && one.getParameterCount() == 1)
            .min(Comparator.comparing(one -> one.getParameterTypes()[0] == String.class))
            .orElseThrow(() -> new UnsupportedOperationException("no argument " + name));
    try {
      Object converted = Json.MAPPER.convertValue(value, Json.MAPPER.constructType(setter.getGenericParameterTypes()[0]));
      setter.invoke(builder, converted);
    } catch (InvocationTargetException failure) {
      throw failure.getCause();
    }
  }

  private static RequestOptions options(JsonNode given) {
    RequestOptions.Builder options = RequestOptions.builder();
    if (given.hasNonNull("timeout")) {
      options.timeout(Runner.seconds(given.get("timeout")));
    }
    if (given.hasNonNull("max_retries")) {
      options.maxRetries(given.get("max_retries").asInt());
    }
    if (given.hasNonNull("idempotency_key")) {
      options.idempotencyKey(given.get("idempotency_key").asText());
    }
    given.path("extra_headers").properties().forEach(one -> options.header(one.getKey(), one.getValue().asText()));
    return options.build();
  }

  private static Class<?> found(String name) {
    try {
      return Class.forName(name);
    } catch (ClassNotFoundException missing) {
      throw new UnsupportedOperationException("no " + name);
    }
  }

  private static String pascal(String name) {
    List<String> parts = new ArrayList<>();
    for (String part : name.split("[^A-Za-z0-9]+")) {
      parts.add(part.substring(0, 1).toUpperCase(java.util.Locale.ROOT) + part.substring(1));
    }
    return String.join("", parts);
  }

  private static String camel(String name) {
    String whole = pascal(name);
    return whole.substring(0, 1).toLowerCase(java.util.Locale.ROOT) + whole.substring(1);
  }
}
