// Shows /openapi.yaml. The validator badge is off: it would ask a server elsewhere.

const HEARD = 12000; // ms of a stream that are shown: it says at least every 10 s that nothing has changed

SwaggerUIBundle({
  url: "/openapi.yaml",
  dom_id: "#description",
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor(request) {
    if (new Headers(request.headers).get("Accept") !== "text/event-stream") return request;
    const url = new URL(request.url, location.href);
    url.searchParams.delete("wait"); // its default is filled in, and a stream has nothing to wait for
    return Object.assign(request, { url: url.href, userFetch: beginning });
  },
});

/** An answer is shown when it is all there, and a stream has no end: so of a stream there is its beginning. */
async function beginning(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) return answer;
  const reader = answer.body.getReader(), pieces = [];
  const timer = setTimeout(() => reader.cancel(), HEARD);
  for (let piece; !(piece = await reader.read()).done; ) pieces.push(piece.value);
  clearTimeout(timer);
  return new Response(new Blob(pieces), { status: answer.status, statusText: answer.statusText, headers: answer.headers });
}
