// Sends requests over HTTP/2 (RFC 9113), each on a stream of one connection, its body in the
// DATA frames that are asked for. Reads them as JSON from standard input and writes what came
// back: `[{"status": 200, "body": "..."}, ...]`.
import { connect, constants } from "node:http2";
import { readFileSync } from "node:fs";

const { origin, requests } = JSON.parse(readFileSync(0, "utf8"));
const session = connect(origin);

const send = ({ headers, chunks, trailers }) =>
  new Promise((resolve, reject) => {
    const ends = chunks.length === 0 && !trailers;
    const stream = session.request(headers, { endStream: ends, waitForTrailers: Boolean(trailers) });
    let status = 0;
    let body = "";
    stream.on("response", (answer) => (status = answer[constants.HTTP2_HEADER_STATUS]));
    stream.setEncoding("utf8");
    stream.on("data", (text) => (body += text));
    stream.on("end", () => resolve({ status, body }));
    // A gate that refuses a body before it has come whole may reset the stream after its answer.
    stream.on("error", (error) => (status ? resolve({ status, body }) : reject(error)));
    if (trailers) stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    for (const chunk of chunks) stream.write(chunk);
    if (!ends) stream.end();
  });

const answers = [];
for (const request of requests) answers.push(await send(request));
session.close();
console.log(JSON.stringify(answers));
