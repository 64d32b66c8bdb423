// Calls of etcd's HTTP/JSON gateway: the endpoints in turn, a time limit, streams that begin again. It knows no keys.
import { Agent as HttpAgent, request as httpRequest, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { StoreError } from './store.js';

const timeoutMs = 5000;
const retryMs = 500;

export class EtcdGateway {
  private readonly http = new HttpAgent({ keepAlive: true });
  private readonly https = new HttpsAgent({ keepAlive: true });
  /** The endpoint that answered last. */
  private current = 0;
  private closed = false;

  constructor(private readonly endpoints: readonly string[]) {
    if (endpoints.length === 0) throw new StoreError('etcd: no endpoint is configured');
  }

  /**
   * One call. StoreError with what etcd said, or where no endpoint answers. `onRetry` is called before it is sent again: an endpoint that
   * did not answer may have carried it out.
   */
  async call<T>(method: string, body: object, onRetry: () => void = () => undefined): Promise<T> {
    const failures: string[] = [];
    for (let i = 0; i < this.endpoints.length; i += 1) {
      if (this.closed) throw new StoreError('etcd: the store is closed');
      if (i > 0) onRetry();
      const at = (this.current + i) % this.endpoints.length;
      try {
        const reply = await this.post(this.endpoints[at] ?? '', method, body);
        this.current = at;
        return reply as T;
      } catch (error) {
        if (error instanceof StoreError) throw error;
        failures.push(`${this.endpoints[at] ?? ''}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    throw new StoreError(`etcd does not answer: ${failures.join('; ')}`);
  }

  /** A stream of replies, begun again (with a new body) whenever it ends, until it is closed. */
  stream(method: string, body: () => object, onReply: (reply: unknown) => void): { close(): void } {
    let isOpen = true;
    let request: ClientRequest | undefined;
    let timer: NodeJS.Timeout | undefined;
    const begin = (): void => {
      if (!isOpen || this.closed) return;
      request = this.begin(this.endpoints[this.current] ?? '', method, JSON.stringify(body()));
      let rest = '';
      const again = (): void => {
        if (!isOpen || timer) return;
        this.current = (this.current + 1) % this.endpoints.length;
        timer = setTimeout(() => {
          timer = undefined;
          begin();
        }, retryMs);
      };
      request.on('response', (response) => {
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          const lines = (rest + text).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) if (line.trim() !== '' && isOpen) onReply(JSON.parse(line));
        });
        response.on('close', again);
      });
      request.on('error', again);
    };
    begin();
    return {
      close: () => {
        isOpen = false;
        clearTimeout(timer);
        request?.destroy();
      },
    };
  }

  close(): void {
    this.closed = true;
    this.http.destroy();
    this.https.destroy();
  }

  private post(endpoint: string, method: string, body: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = this.begin(endpoint, method, JSON.stringify(body));
      request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      request.on('error', reject);
      request.on('response', (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          try {
            resolve(parseReply(endpoint, method, response.statusCode ?? 0, Buffer.concat(parts).toString('utf8')));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      });
    });
  }

  private begin(endpoint: string, method: string, body: string): ClientRequest {
    const url = new URL(`/v3/${method}`, endpoint);
    const options = { method: 'POST', headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } };
    const request = url.protocol === 'https:' ? httpsRequest(url, { ...options, agent: this.https }) : httpRequest(url, { ...options, agent: this.http });
    request.end(body);
    return request;
  }
}

/** What etcd answered; a refusal becomes a StoreError, an endpoint that cannot serve just now an ordinary one. */
function parseReply(endpoint: string, method: string, status: number, text: string): unknown {
  const reply: unknown = JSON.parse(text.split('\n')[0] ?? '');
  if (status === 200) return reply;
  const message = typeof reply === 'object' && reply !== null && 'message' in reply ? String(reply.message) : text.slice(0, 200);
  if (status === 503 || status === 504) throw new Error(message);
  // A lease that is gone already is what its revocation wants.
  if (method === 'lease/revoke' && status === 404) return {};
  throw new StoreError(`${endpoint}: ${method}: ${message}`);
}
