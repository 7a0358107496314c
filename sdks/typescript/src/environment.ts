// What the SDK asks of the machine beyond fetch and Web Crypto: environment variables, where there are any. Nothing is
// imported, so that the same file runs in Node, Deno, Bun, workers and browsers.

interface Runtime {
  process?: { env?: Record<string, string | undefined> };
  Deno?: { env: { get(name: string): string | undefined } };
  document?: unknown;
}

/** An environment variable without white space around it; undefined if there is none, or nobody may read it. */
export function environmentVariable(name: string): string | undefined {
  const runtime = globalThis as Runtime;
  try {
    const found = runtime.process?.env?.[name] ?? runtime.Deno?.env.get(name);
    return found?.trim() || undefined;
  } catch {
    return undefined; // Deno without --allow-env
  }
}

/** Browsers send their own User-Agent, and a foreign header more makes them ask the server first. */
export function isBrowser(): boolean {
  return (globalThis as Runtime).document !== undefined;
}
