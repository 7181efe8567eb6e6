/* The way to the plugin: what is new comes as an event and is then fetched; requests are posted. */

/* What the plugin said no with, in its own words. */
class Refusal extends Error {
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

async function answerOf(response) {
  const kind = response.headers.get('Content-Type') || '';
  const got = kind.startsWith('application/octet-stream')
    ? unbundle(await response.arrayBuffer())
    : {head: await response.json(), arrays: []};

  if (!response.ok || got.head.ok === false) {
    const error = got.head.error || {};

    throw new Refusal(error.code || '', error.message || `HTTP ${response.status}`, response.status);
  }
  return got;
}

async function fetchAnswer(path, options) {
  let response;

  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal('away', 'The plugin does not answer.', 0);
  }
  return answerOf(response);
}

/* A control op: {result, arrays}. Throws a Refusal. */
async function request(op, args = {}) {
  const {head, arrays} = await fetchAnswer('/api/v1/request', {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({op, args}),
  });

  return {result: head.result, arrays};
}

/* Something that the plugin renumbers when it changes. It is fetched when its number is not ours, one request at
 * a time: on a slow line versions are skipped, and nothing queues.
 *
 *   path  () => where to get it
 *   take  ({head, arrays}) => what to do with it
 */
class Feed {
  constructor(path, take) {
    this.path = path;
    this.take = take;
    this.forget();
    this.busy = false;
  }

  /* After a restart of the plugin equal numbers mean nothing. */
  forget() {
    this.want = this.have = undefined;
    this.life = (this.life || 0) + 1;
  }

  ask(version) {
    if (!version) return;
    this.want = version;
    if (!this.busy && this.have !== version) this.run();
  }

  async run() {
    this.busy = true;
    while (this.want !== this.have) {
      const {want, life} = this;

      try {
        const got = await fetchAnswer(this.path());

        if (life !== this.life) continue;
        this.take(got);
        this.have = want;
      } catch (error) {
        if (!(error instanceof Refusal)) console.error(error);
        break; /* the next news asks again */
      }
    }
    this.busy = false;
  }
}

/* Listen for news for as long as the page lives.
 *
 *   opened  () => the plugin is there, perhaps another one than before
 *   news    (versions) =>
 *   lost    () =>
 */
function listen({opened, news, lost}) {
  let source;

  function open() {
    source = new EventSource('/events');
    on(source, 'open', opened);
    on(source, 'news', (event) => news(JSON.parse(event.data)));
    on(source, 'error', () => {
      lost();
      /* The browser comes back by itself, but for an answer that was no stream. */
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 1000);
    });
  }
  open();
}
