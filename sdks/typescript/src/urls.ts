/** The two addresses of a server: of the API, and of what is beside it (`/oauth/token`). Both without a slash at the end. */
export interface Addresses {
  readonly api: string;
  readonly root: string;
}

/**
 * Addresses of a base URL, with or without `/v1` and slashes at its end.
 *
 * @throws TypeError if it is no http(s) address, or has a password, a query or a fragment.
 */
export function addresses(baseUrl: string): Addresses {
  const url = parsed(baseUrl);
  if (url.username || url.password) {
    throw new TypeError("baseUrl has a user or a password in it: give apiKey or token instead");
  }
  if (url.search || url.hash) {
    throw new TypeError("baseUrl has a query or a fragment: give what is before it");
  }
  const root = (url.origin + url.pathname).replace(/\/+$/, "").replace(/\/v1$/, "").replace(/\/+$/, "");
  return { api: `${root}/v1`, root };
}

function parsed(baseUrl: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(baseUrl.trim());
  } catch {
    // said below
  }
  if (url?.protocol !== "https:" && url?.protocol !== "http:") {
    throw new TypeError("baseUrl is no address: it is like https://api.example.com or http://127.0.0.1:8080/v1");
  }
  return url;
}

export type Arguments = Readonly<Record<string, unknown>>;

/**
 * A path with its values.
 *
 * @throws TypeError for a value that is missing or empty, or `.` or `..`, which would name another address.
 */
export function path(template: string, given: Arguments): string {
  return template.replace(/\{([^}]+)\}/g, (_, name: string) => segment(name, given[name]));
}

function segment(name: string, value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number") {
    throw new TypeError(`${name} is ${value === undefined || value === null ? "missing" : "no text"}`);
  }
  const text = String(value);
  if (text === "" || text === "." || text === "..") {
    throw new TypeError(`${name} is ${text === "" ? "empty" : `"${text}"`}: an id or a name belongs there`);
  }
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A query with its question mark; an empty text if nothing is given. */
export function query(names: readonly string[], given: Arguments): string {
  const pairs = new URLSearchParams();
  for (const name of names) {
    const value = given[name];
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) {
        pairs.append(name, one instanceof Date ? one.toISOString() : String(one));
      }
    }
  }
  const text = pairs.toString();
  return text && `?${text}`;
}
