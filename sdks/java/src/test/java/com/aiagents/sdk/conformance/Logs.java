package com.aiagents.sdk.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** What the SDK logs, at its finest. */
final class Logs extends Handler {
  // Loggers are kept by nobody else.
  private final Logger logger = Logger.getLogger("com.aiagents.sdk");
  private final SimpleFormatter formatter = new SimpleFormatter();
  private final StringBuilder text = new StringBuilder();
  private final List<String> warnings = new ArrayList<>();

  Logs() {
    setLevel(Level.ALL);
    logger.setLevel(Level.ALL);
    logger.setUseParentHandlers(false);
    logger.addHandler(this);
  }

  @Override
  public synchronized void publish(LogRecord entry) {
    text.append(formatter.format(entry));
    if (entry.getLevel() == Level.WARNING && entry.getLoggerName().endsWith(".deprecation")) {
      warnings.add(formatter.formatMessage(entry));
    }
  }

  synchronized String text() {
    String all = text.toString();
    text.setLength(0);
    return all;
  }

  synchronized List<String> warnings() {
    List<String> all = List.copyOf(warnings);
    warnings.clear();
    return all;
  }

  @Override
  public void flush() {
    // Nothing is held back.
  }

  @Override
  public void close() {
    logger.removeHandler(this);
  }
}
