import assert from "node:assert/strict";
import { test } from "node:test";
import * as sdk from "@ai-agents/sdk";
import { envelope, failure, json, serve } from "./server.mjs";

const ITEMS = Array.from({ length: 7 }, (_, number) => ({ id: `p${number}` }));

/** Pages of three; by cursors from the second on, or by numbers. */
function pages(cursors) {
  return ({ url }) => {
    const query = new URL(url, "http://x").searchParams;
    assert.equal(query.get("status"), "active");
    const cursor = query.get("cursor");
    const page = Number(query.get("page") ?? 1);
    const from = cursor ? Number(cursor.slice(1)) : (page - 1) * 3;
    const more = from + 3 < ITEMS.length;
    const pagination = {
      page: cursor ? null : page, page_size: 3, total: cursor ? null : 7, pages: cursor ? null : 3, has_next: more, has_prev: from > 0,
      total_is_estimate: false, next_cursor: cursors && more ? `c${from + 3}` : null, prev_cursor: null,
    };
    return json(envelope(ITEMS.slice(from, from + 3), { pagination }));
  };
}

for (const cursors of [true, false]) {
  const how = cursors ? "cursors" : "numbers";
  const list = (client) => client.projects.list({ org_id: "o", status: "active" });

  test(`a list goes over all pages by ${how}`, async (t) => {
    const { client, requests } = await serve(t, pages(cursors));
    const seen = [];
    for await (const project of list(client())) {
      seen.push(project.id);
    }
    assert.deepEqual(seen, ITEMS.map((one) => one.id));
    assert.deepEqual(
      requests.map((one) => one.url.split("?")[1]),
      cursors
        ? ["status=active", "status=active&cursor=c3", "status=active&cursor=c6"]
        : ["status=active", "status=active&page=2", "status=active&page=3"],
    );
  });

  test(`a page leads to the next by ${how}`, async (t) => {
    const { client } = await serve(t, pages(cursors));
    let page = await list(client());
    assert.deepEqual([page.data.length, page.total, page.hasNextPage], [3, 7, true]);
    page = await page.getNextPage();
    page = await page.getNextPage();
    assert.deepEqual([page.data, page.hasNextPage], [[{ id: "p6" }], false]);
    await assert.rejects(page.getNextPage(), sdk.AIAgentsError);
  });

  test(`nothing more is asked than what is used, by ${how}`, async (t) => {
    const { client, requests } = await serve(t, pages(cursors));
    for await (const project of list(client())) {
      if (project.id === "p3") {
        break;
      }
    }
    assert.equal(requests.length, 2);
  });
}

test("a page that leads to itself ends", async (t) => {
  const pagination = { page: null, page_size: 1, total: null, has_next: true, next_cursor: "same" };
  const { client } = await serve(t, [json(envelope([{ id: "p" }], { pagination }))]);
  await assert.rejects(async () => {
    for await (const one of client().projects.list({ org_id: "o" })) {
      assert.equal(one.id, "p");
    }
  }, sdk.InvalidResponseError);
});

test("a list that is no page is told", async (t) => {
  const { client } = await serve(t, [json(envelope([{ id: "p" }]))]);
  await assert.rejects(client().projects.list({ org_id: "o" }), sdk.InvalidResponseError);
});

test("an error of a list comes where it is read", async (t) => {
  const { client } = await serve(t, [json(failure("RESOURCE_NOT_FOUND"), 404)]);
  await assert.rejects(client().projects.list({ org_id: "o" }), sdk.NotFoundError);
  await assert.rejects(async () => {
    for await (const one of client().projects.list({ org_id: "o" })) {
      assert.fail(one);
    }
  }, sdk.NotFoundError);
});

test("a list without pages is a list", async (t) => {
  const { client } = await serve(t, [json(envelope([{ name: "staging" }]))]);
  assert.deepEqual(await client().environments.list({ project_id: "p" }), [{ name: "staging" }]);
});
