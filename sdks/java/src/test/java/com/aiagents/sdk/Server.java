package com.aiagents.sdk;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** A real server on this machine that answers what it is told, and remembers what it was asked. */
final class Server implements AutoCloseable {
  /** What was asked. */
  record Asked(String method, String path, String query, Map<String, String> headers, String body) {}

  /** What it answers. */
  record Reply(int status, Map<String, String> headers, String body) {
    static Reply json(int status, String body) {
      return new Reply(status, Map.of("Content-Type", "application/json"), body);
    }

    static Reply data(String data) {
      return json(200, "{\"success\": true, \"status\": 200, \"data\": " + data + "}");
    }

    static Reply error(int status, String code) {
      return json(
          status,
          "{\"success\": false, \"status\": %d, \"error\": {\"code\": \"%s\", \"message\": \"told\"}}"
              .formatted(status, code));
    }

    static Reply events(String text) {
      return new Reply(200, Map.of("Content-Type", "text/event-stream"), text);
    }

    Reply with(String name, String value) {
      Map<String, String> more = new LinkedHashMap<>(headers);
      more.put(name, value);
      return new Reply(status, more, body);
    }
  }

  private final HttpServer server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final Map<String, Deque<Reply>> replies = new LinkedHashMap<>();
  private final List<Asked> asked = new CopyOnWriteArrayList<>();

  Server() {
    try {
      server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
    server.createContext("/", this::answer);
    server.setExecutor(threads);
    server.start();
  }

  /** Answers of an address, one after another; the last one again and again. */
  synchronized Server on(String address, Reply... told) {
    replies.put(address, new ArrayDeque<>(List.of(told)));
    return this;
  }

  String url() {
    return "http://127.0.0.1:" + server.getAddress().getPort();
  }

  Client client() {
    return Client.builder().baseUrl(url()).apiKey("sk-live_key").maxRetries(2).build();
  }

  List<Asked> asked() {
    return asked;
  }

  private void answer(HttpExchange exchange) throws IOException {
    String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
    Map<String, String> headers = new LinkedHashMap<>();
    exchange.getRequestHeaders().forEach((name, values) -> headers.put(name.toLowerCase(java.util.Locale.ROOT), values.get(0)));
    String path = exchange.getRequestURI().getRawPath();
    asked.add(new Asked(exchange.getRequestMethod(), path, exchange.getRequestURI().getRawQuery(), headers, body));
    Reply reply = next(exchange.getRequestMethod() + " " + path);
    reply.headers().forEach(exchange.getResponseHeaders()::set);
    byte[] content = reply.body().getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(reply.status(), content.length == 0 ? -1 : content.length);
    try (OutputStream out = exchange.getResponseBody()) {
      out.write(content);
    }
  }

  private synchronized Reply next(String address) {
    Deque<Reply> told = replies.get(address);
    if (told == null) {
      return Reply.error(404, "RESOURCE_NOT_FOUND");
    }
    return told.size() > 1 ? told.poll() : told.peek();
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }
}
