/** A server-sent event. */
export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
  /** The last id that was seen: what `Last-Event-ID` is to say. */
  readonly id: string | undefined;
}

/** Cuts text, in pieces as they come, into lines; each piece is looked at once, however long a line is. */
export class LineCutter {
  #parts: string[] = [];
  #held = "";

  *feed(piece: string): Generator<string, void, undefined> {
    let text = this.#held + piece;
    this.#held = text.endsWith("\r") ? "\r" : ""; // may be half of CR LF
    text = this.#held ? text.slice(0, -1) : text;
    const ends = /\r\n|\n|\r/g;
    let from = 0;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#parts.push(text.slice(from, end.index));
      from = ends.lastIndex;
      yield this.rest();
    }
    this.#parts.push(text.slice(from));
  }

  /** What came after the last end of a line. */
  rest(): string {
    const line = this.#parts.join("");
    this.#parts = [];
    return line;
  }
}

/** Turns text, in pieces as they come, into events; comments and events that are cut off are left out. */
export class EventParser {
  readonly #lines = new LineCutter();
  #event = "";
  #data: string[] = [];
  #id: string | undefined;

  *feed(piece: string): Generator<ServerSentEvent, void, undefined> {
    for (const line of this.#lines.feed(piece)) {
      if (line !== "") {
        this.#field(line);
        continue;
      }
      if (this.#data.length > 0) {
        yield { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
      }
      this.#event = "";
      this.#data = [];
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
    } else if (name === "event") {
      this.#event = value;
    } else if (name === "id" && !value.includes("\0")) {
      this.#id = value;
    }
  }
}
