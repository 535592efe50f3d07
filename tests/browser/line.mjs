// A line between the browser and the service: it breaks chosen calls, lets others wait, and can be
// cut. What it has no fault for goes through as it came.

import { createServer, request } from "node:http";

/** A line to the service at `origin`. Its `fault` answers, for a method and a path, what goes wrong. */
export async function lineTo(origin) {
  const line = { fault: () => null, asked: [] };
  const server = createServer(async (asked, answer) => {
    line.asked.push(`${asked.method} ${asked.url}`);
    const fault = line.fault(asked.method, asked.url);
    if (fault?.until) await fault.until;
    if (fault?.cut) return asked.socket.destroy();
    if (fault?.half) {
      // An answer that begins well and breaks off.
      answer.writeHead(200, { "content-type": "application/json", "content-length": 1000 });
      return answer.write('{"items": [', () => asked.socket.destroy());
    }
    if (fault?.status) {
      answer.writeHead(fault.status, fault.headers);
      return answer.end(fault.body);
    }
    const { method, url: path, headers } = asked;
    const on = request(new URL(path, origin), { method, headers }, (from) => {
      // The service has done it, and nobody hears of that.
      if (fault?.lost) {
        from.resume();
        return asked.socket.destroy();
      }
      answer.writeHead(from.statusCode, from.rawHeaders);
      from.pipe(answer);
    });
    on.once("error", () => asked.socket.destroy());
    asked.pipe(on);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  line.origin = `http://127.0.0.1:${server.address().port}`;
  line.close = () => {
    server.close();
    server.closeAllConnections();
  };
  return line;
}
