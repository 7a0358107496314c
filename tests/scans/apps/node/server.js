// A small message board. Everything that is wrong here is wrong on purpose: see tests/scans/planted.py.
const http = require("http");
const { exec } = require("child_process");

const githubToken = "@@github@@";
const token = process.env.BOARD_TOKEN;
const session = "@@jwt@@";
const placeholder = { password: "${BOARD_PASSWORD}" };
const split = "@@part1@@" + "@@part2@@" + "@@part3@@";

http
  .createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname === "/run") exec("convert " + url.searchParams.get("file"));
    if (url.pathname === "/calculate") response.write(String(eval(url.searchParams.get("sum"))));
    response.end(JSON.stringify({ placeholder, session: Boolean(session), ok: Boolean(token || githubToken || split) }));
  })
  .listen(process.env.PORT);
