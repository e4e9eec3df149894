// Calls what `llmc serve` serves with the MCP project's own TypeScript client, and prints what it saw as JSON.
//
// mcp_client.mjs stdio PROGRAM ARGUMENT...
// mcp_client.mjs http URL TOKEN
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages are in the folder it is started in.
const at = createRequire(pathToFileURL(`${process.cwd()}/`));
const load = (name) => import(pathToFileURL(at.resolve(`@modelcontextprotocol/sdk/client/${name}.js`)));
const { Client } = await load("index");

const [how, where, ...more] = process.argv.slice(2);
let transport;
if (how === "stdio") {
  const { StdioClientTransport } = await load("stdio");
  transport = new StdioClientTransport({ command: where, args: more, env: process.env });
} else {
  const { StreamableHTTPClientTransport } = await load("streamableHttp");
  const requestInit = { headers: { Authorization: `Bearer ${more[0]}` } };
  transport = new StreamableHTTPClientTransport(new URL(where), { requestInit });
}
const client = new Client({ name: "outside", version: "1" });
await client.connect(transport);
const call = (name, given, options) => client.callTool({ name, arguments: given }, undefined, options);
const { tools } = await client.listTools();
const together = await Promise.all([
  call("classify", { subject: "the server is on fire" }),
  call("shout", { input: "it is here" }),
  call("broken", { input: "x" }),
]);
const stop = new AbortController();
const slow = call("sleep", { input: 3600 }, { signal: stop.signal }).catch((error) => String(error));
setTimeout(() => stop.abort("given up"), 200);
const stopped = await slow;
const after = await call("words", { input: "one two" });
const unknown = await call("nothing", {}).then(() => null, (error) => error.code);
await client.ping();
console.log(JSON.stringify({ server: client.getServerVersion(), tools, together, stopped, after, unknown }));
await client.close();
