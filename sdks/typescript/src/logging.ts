/** Where the SDK writes to: `console` is one. */
export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** `warn` shows deprecations and retries of a renewal; `debug` each request, its status and its duration. */
export type LogLevel = "off" | "error" | "warn" | "info" | "debug";

const ORDER: readonly LogLevel[] = ["off", "error", "warn", "info", "debug"];

/** A logger that passes on what is at least as important as `level`. No key, token, header or body is ever given to it. */
export function limited(logger: Logger, level: LogLevel): Logger {
  const place = ORDER.indexOf(level);
  if (place < 0) {
    throw new TypeError(`logLevel is one of ${ORDER.join(", ")}`);
  }
  const at = (name: "error" | "warn" | "info" | "debug") => (message: string) => {
    if (ORDER.indexOf(name) <= place) {
      logger[name](message);
    }
  };
  return { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
}
