// What rbd's commands work with: the caller's own session, asked through the same methods that librbd uses, so that rules, rights and
// notifications are the same; and what is printed.
import type {Answer} from '../../rpc/connection.js';
import type {Call, Methods} from '../../rpc/method.js';
import {Params} from '../../rpc/params.js';
import {render, type Doc} from '../document.js';
import {firstOwnHandle} from '../../service/sessions.js';
import {RbdElsewhere, type FoundPool} from './elsewhere.js';
import {errnoOf, failure, RbdFailure, strerror, wrong} from './errors.js';
import {parseImageSpec, parsePoolSpec, type Spec} from './spec.js';
import type {Options} from './options.js';

export interface At {
  readonly pool: number;
  readonly namespace: string;
}

export interface SnapState {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly isProtected: boolean;
  readonly namespace: string;
  readonly timestamp: {readonly sec: number, readonly nsec: number};
  readonly original: string|undefined;
}

export interface ImageState {
  readonly id: string;
  readonly name: string;
  readonly size: number;
  readonly order: number;
  readonly features: number;
  readonly opFeatures: number;
  readonly flags: number;
  readonly stripeUnit: number;
  readonly stripeCount: number;
  readonly prefix: string;
  readonly createTime: {readonly sec: number};
  readonly accessTime: {readonly sec: number};
  readonly modifyTime: {readonly sec: number};
  readonly dataPool: number|null;
  readonly snapLimit: number|null;
  readonly snaps: readonly Readonly<Record<string, unknown>>[];
  readonly parent: Readonly<Record<string, unknown>>|null;
}

export interface OpenedImage {
  readonly handle: number;
  readonly state: ImageState;
}

/** Where a command's image is: names as given, the pool found. */
export interface Place {
  readonly at: At;
  readonly poolName: string;
  readonly spec: Spec;
}

let nextHandle = firstOwnHandle;

export class RbdShell {
  private out = '';
  private err = '';

  constructor(private readonly methods: Methods, private readonly call: Omit<Call, 'params'|'method'>, readonly options: Options,
              readonly environment: Readonly<Record<string, string>>) {}

  // --- asking

  /** One method of the protocol; ServiceError where it refuses. Descriptors that come with the answer are let go. */
  async ask(method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> {
    const handler = this.methods[method];
    if (!handler) throw new RbdFailure(95, `rbd: ${method} is not served by this daemon\n`);
    const answer: Answer = await handler({...this.call, method, params: new Params(params)});
    answer.sent?.();
    return answer.result as Record<string, unknown>;
  }

  /** As `ask`; a refusal ends the command with "rbd: <what>: (2) No such file or directory". */
  async require(what: string, method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> {
    try {
      return await this.ask(method, params);
    } catch (error) {
      throw error instanceof RbdFailure ? error : failure(what, errnoOf(error));
    }
  }

  get session(): Call['session'] {
    return this.call.session;
  }

  // --- places

  /** The pool's id; ends the command where there is none, or where it is on a real Ceph. `named`: where the command line named it. */
  async pool(name: string, named: RbdElsewhere['named'] = 'word'): Promise<number> {
    const {id, ceph} = await this.look(name);
    if (ceph) throw new RbdElsewhere({name, ceph}, named);
    return id;
  }

  /** What a pool is; ends the command where there is none. */
  async look(name: string): Promise<FoundPool&{id: number}> {
    try {
      const {id, ceph} = await this.ask('pool.lookup', {name});
      return {id: id as number, name, ceph: ceph as FoundPool['ceph']};
    } catch (error) {
      throw new RbdFailure(errnoOf(error), `rbd: error opening pool '${name}': ${strerror(errnoOf(error))}\n`);
    }
  }

  /** The pool of images that name none. */
  get defaultPool(): string {
    return this.environment['RBD_POOL'] ?? 'rbd';
  }

  async poolName(id: number): Promise<string> {
    return (await this.ask('pool.lookup', {id}))['name'] as string;
  }

  async place(spec: Spec): Promise<Place> {
    const poolName = spec.pool ?? this.options.text('pool') ?? this.defaultPool;
    const named = spec.pool !== undefined ? 'word' : this.options.has('pool') ? 'option' : 'nowhere';
    const namespace = spec.namespace ?? this.options.text('namespace') ?? '';
    const at = {pool: await this.pool(poolName, named), namespace};
    if (namespace !== '') {
      const {exists} = await this.require('error validating namespace', 'namespace.exists', {pool: at.pool, name: namespace});
      if (exists !== true) throw new RbdFailure(2, `rbd: namespace '${namespace}' does not exist.\n`);
    }
    return {at, poolName, spec};
  }

  /** [pool[/namespace]] as the word at `index`, --pool and --namespace. */
  poolPlace(index = 0): Promise<Place> {
    return this.place(parsePoolSpec(this.options.word(index)));
  }

  /** The image that a command is about: the word at `index`, or --pool, --image, --snap. */
  imageSpec(how: {index?: number, snap: 'none'|'may'|'must', needsImage?: boolean}): Spec {
    // Who names the image by the option has said which: the word does not count then, as in 16.2.15.
    const isNamed = Boolean(this.options.text('image'));
    const read = parseImageSpec(isNamed ? undefined : this.options.word(how.index ?? 0));
    const spec = {...read, image: read.image ?? this.options.text('image'), snap: read.snap ?? (this.options.text('snap') || undefined)};
    if (how.needsImage === false && spec.image !== undefined) throw wrong('trying to access image using both name and id. ');
    if (spec.image === undefined && how.needsImage !== false) throw wrong('image name was not specified');
    if (how.snap === 'none' && spec.snap !== undefined) throw wrong('snapshot name specified for a command that doesn\'t use it');
    if (how.snap === 'must' && spec.snap === undefined) throw wrong('snapshot name was not specified');
    return spec;
  }

  /** Which word is the first behind the image's, which is left out where --image names it. */
  get behindImage(): number {
    return this.options.text('image') ? 0 : 1;
  }

  // --- images

  /** Opens an image for the length of `work`. */
  async withImage<T>(place: Place, how: {readOnly: boolean, id?: string|undefined}, work: (image: OpenedImage) => Promise<T>): Promise<T> {
    const handle = nextHandle++;
    const name = place.spec.image;
    const which = how.id !== undefined ? {id: how.id} : {name};
    let state: Record<string, unknown>;
    try {
      state = await this.ask('image.open', {at: place.at, ...which, readOnly: how.readOnly, handle});
    } catch (error) {
      const errno = errnoOf(error);
      throw new RbdFailure(errno, `rbd: error opening image ${how.id !== undefined ? `with id ${how.id}` : name === '' ? '""' : name}: ${strerror(errno)}\n`);
    }
    try {
      return await work({handle, state: state as unknown as ImageState});
    } finally {
      await this.ask('image.close', {handle});
    }
  }

  // --- printing

  print(text: string): void {
    this.out += text;
  }

  complain(text: string): void {
    this.err += text;
  }

  /** json, xml or undefined for plain; ends the command for another. */
  get format(): 'json'|'xml'|undefined {
    const format = this.options.text('format');
    if (format === undefined || format === 'plain') {
      if (this.options.has('pretty-format')) throw wrong('--pretty-format only works when --format is json or xml');
      return undefined;
    }
    if (format !== 'json' && format !== 'xml') throw new RbdFailure(1, 'rbd: the argument for option \'--format\' is invalid\n');
    return format;
  }

  /** True where the answer was wanted as data and has been printed. */
  printed(root: string, doc: () => Doc): boolean {
    const {format} = this;
    if (!format) return false;
    const isPretty = this.options.has('pretty-format');
    const text = render(root, doc(), isPretty ? `${format}-pretty` : format);
    this.print(isPretty && format === 'json' ? text : `${text}\n`);
    return true;
  }

  /** Shows progress as rbd does, unless --no-progress. A failure shows as failed and is passed on. */
  async withProgress<T>(what: string, work: () => Promise<T>): Promise<T> {
    const isShown = !this.options.has('no-progress');
    try {
      const result = await work();
      if (isShown) this.complain(`\r${what}: 100% complete...done.\n`);
      return result;
    } catch (error) {
      if (isShown) this.complain(`\r${what}: 0% complete...failed.\n`);
      throw error;
    }
  }

  get output(): {stdout: string, stderr: string} {
    return {stdout: this.out, stderr: this.err};
  }
}
