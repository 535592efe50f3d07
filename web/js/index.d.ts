/**
 * What cannot be done with what was given. `code` is what programs compare: one of ours, in
 * capitals (docs/web.md lists them), or the reason code that a gate would answer with.
 */
export class PortcullisError extends Error {
  readonly code: string;
  readonly detail: string;
}

/** A `WebAssembly.Module`: an object of no members, which Node's own types do not have. */
export type WasmModule = object;

/** Bytes of a WebAssembly file. */
export type WasmBytes = ArrayBuffer | ArrayBufferView;

/** Where the WebAssembly is: an address, a response, its bytes, or the compiled module. */
export type WasmSource = URL | string | Response | Promise<Response> | WasmBytes | WasmModule;

/** Makes the package ready; without `module`, from `portcullis_bg.wasm` beside `index.js`. */
export function init(options?: { module?: WasmSource }): Promise<void>;

/** As `init`, at once. */
export function initSync(options: { module: WasmBytes | WasmModule }): void;

/** Text, or its bytes in UTF-8. */
export type Text = string | Uint8Array | ArrayBuffer;

/** A document: its JSON, or the object that it is. */
export type Document = string | Uint8Array | object;

/** A `Date`, RFC 3339 in UTC, or whole milliseconds since 1970. */
export type Time = Date | string | number;

/** The canonical text (RFC 8785) of a JSON text. */
export function canonicalize(text: Text): string;

/* Credentials. */

/** Trust material that is read once, for many judgements. */
export class TrustMaterial {
  /** What `portcullis bundle` writes: the member `trust` of a gate's configuration. */
  constructor(trust: Document);
}

export interface Judging {
  /** Whom to trust; left out, a credential is judged by itself. */
  trust?: TrustMaterial | Document | null;
  /** Judge as at this time; left out, now. */
  at?: Time;
}

/** Of badges: what `aud` may call the verifier by; left out, it is not compared. */
export interface JudgingBadges extends Judging {
  audiences?: string[];
}

/** Of SimpleGuard signatures: the body that came with it; left out, it is not compared. */
export interface JudgingSignatures extends Judging {
  body?: Text;
}

/** What a reason code means, who mends it, and how. */
export interface Explanation {
  code: string;
  meaning: string;
  who: string;
  remedy: string;
}

export interface Judged {
  valid: boolean;
  /** Why it is refused; null where it is valid. */
  reason_code: string | null;
  /** What was found. It may hold text of strangers: show it as text, never as markup. */
  detail: string | null;
}

export interface Hop {
  passport_id: string;
  agent_id: string;
  issued_at: string;
  expires_at: string;
}

export interface PassportAnswer extends Judged {
  kind: "passport" | "passport_jwt";
  explanation: Explanation | null;
  provenance: string | null;
  /** The issuer's tier by the trust material. */
  tier: number | null;
  judged_at: string;
  judged_by: "itself" | "bundle";
  /** Null until its signatures hold. */
  passport: {
    passport_id: string;
    agent_id: string;
    agent_name: string | null;
    public_key: string;
    issuer: { type: string; id: string; key_id: string };
    issued_at: string;
    expires_at: string;
    /** Root first, itself last. */
    hops: Hop[];
    /** Merged down the chain. */
    permissions: { permission_key: string; constraints: Record<string, unknown>; reason_code: string | null }[];
  } | null;
}

export interface CapiscioAnswer extends Judged {
  kind: "badge" | "simpleguard";
  explanation: Explanation | null;
  /** A string, "0" to "4". */
  level: string | null;
  ial: string | null;
  judged_at: string;
  audience_checked: boolean | null;
  body_checked: boolean | null;
  badge: {
    jti: string;
    issuer: string;
    subject: string;
    level: string;
    ial: string;
    domain: string | null;
    audience: string[] | null;
    issued_at: string;
    expires_at: string;
    key: PublicJwk;
    key_did: string;
    signed_by: string;
  } | null;
  signature: { kid: string; issued_at: string; expires_at: string; bh: string | null } | null;
}

export type CredentialAnswer = PassportAnswer | CapiscioAnswer;

/** Judges a credential of any kind, bare or as a whole header line: the answer of `portcullis verify --json`. */
export function verifyCredential(credential: Text, options?: JudgingBadges & JudgingSignatures): CredentialAnswer;

/** Judges a passport: as JSON, as a header, or as a JWT. */
export function verifyPassport(passport: Text, options?: Judging): PassportAnswer;

/** Judges a Trust Badge. */
export function verifyBadge(badge: Text, options?: JudgingBadges): CapiscioAnswer;

/** Judges a SimpleGuard signature. */
export function verifySimpleGuard(signature: Text, options?: JudgingSignatures): CapiscioAnswer;

/** A request as `fetch` takes it. `body` is its bytes as they are sent. */
export interface SentRequest {
  url: string;
  /** Left out: GET. */
  method?: string;
  headers?: Headers | [string, string][] | Record<string, string>;
  body?: Text;
}

export interface ProofAnswer extends Judged {
  kind: "proof";
  explanation: Explanation | null;
  judged_at: string;
  /** Whose request it is. */
  agent_id: string | null;
  credential: CredentialAnswer | null;
  /** `nonce` is for the caller to remember until `expires_at`: nothing here does. */
  proof: { created: string; expires_at: string; nonce: string; body_checked: boolean } | null;
}

/** Judges a signed request (RFC 9421): its credential, and the proof by the credential's key. */
export function verifyProof(
  request: SentRequest,
  options?: JudgingBadges & { skewMs?: number; lifeMs?: number },
): ProofAnswer;

/* Logs. */

/** The service's keys, as it serves them at `/api/gates/{id}/attestation-keys`. */
export interface ServedKey {
  key_id: string;
  public_key: string;
  not_before?: string | null;
  not_after?: string | null;
}

export interface Checkpoint {
  origin: string;
  size: number;
  /** Base64. */
  root: string;
  time: string;
}

/** Something that is wrong in an export. */
export interface Finding {
  reason_code: string;
  detail: string;
  /** The line of the file, from 1; null where it is the end that is wrong. */
  line: number | null;
  /** The record's index in the log, from 0; null once the order is lost. */
  index: number | null;
  record: { attestation_id: string; lane: string; sequence_number: number } | null;
}

export type AuditVerdict =
  | {
      valid: true;
      gate: string;
      complete: boolean;
      records: number;
      pruned: number;
      lanes: number;
      decisions: Record<string, number>;
      dropped: number;
      first_at: string | null;
      last_at: string | null;
      checkpoint: Checkpoint;
      extends_older: boolean | null;
    }
  | ({ valid: false; gate: string } & Finding);

export interface AuditOptions {
  /** The auditor's own: `{keys: […], service_keys: […]}`. */
  keys: Document;
  /** A checkpoint kept from an earlier audit: the log must be that one, grown. */
  checkpoint?: string | null;
}

/**
 * The judgement of an export while it is read. The first finding is the verdict; after it each
 * line is judged by itself alone, so that all lines that are wrong by themselves can be marked.
 */
export class LogAudit {
  constructor(options: AuditOptions);
  /** Takes the next line, without its newline. */
  push(line: Text): Finding | null;
  /** Takes the next bytes of the file, wherever they end. */
  write(chunk: Text): Finding[];
  readonly progress: { lines: number; records: number };
  /** Ends the audit. */
  finish(): AuditVerdict;
}

/** Judges a whole export at once. */
export function verifyChain(exported: Text, options: AuditOptions): AuditVerdict;

export interface LogOptions {
  gate: string;
  serviceKeys: ServedKey[];
}

/** Reads a checkpoint: a signed note (C2SP tlog-checkpoint). */
export function verifyCheckpoint(note: string, options: LogOptions): Judged & { checkpoint: Checkpoint | null };

/** Whether a record is in the log: `proof` is the service's answer to `log/proof` (RFC 9162). */
export function verifyInclusion(
  proof: { index: number; size: number; hashes: string[]; checkpoint: string; leaf?: string | null },
  options: LogOptions & { record?: string; leaf?: string },
): Judged & { checkpoint?: Checkpoint };

/** Whether the log of the note `newer` is that of the note `older`, grown (RFC 9162). */
export function verifyConsistency(
  proof: { older: string; newer: string; hashes: string[] },
  options: LogOptions,
): Judged & { older?: Checkpoint; newer?: Checkpoint };

/* Catalogs. */

export interface CatalogAnswer extends Judged {
  catalogs: {
    gate_id: string;
    version: number;
    published_at: string;
    content_hash: string;
    public_key: string;
    permissions: {
      permission_key: string;
      pricing_model: string | null;
      price_cents: number | null;
      uptime_basis_points: number | null;
      response_time_ms: number | null;
    }[];
  }[];
  services: number;
}

/** Verifies a published catalog, or the answer of discovery; `key` is the gate's, in base64. */
export function verifyCatalog(catalog: Document, options?: { key?: string }): CatalogAnswer;

/* Agents. */

export interface PublicJwk {
  kty: "OKP";
  crv: "Ed25519";
  x: string;
}

/** A key pair of WebCrypto's. */
export interface KeyPair {
  publicKey: CryptoKey;
  privateKey: CryptoKey;
}

/** Who signs: a seed of 32 bytes (base64 or bytes), a private JWK, or WebCrypto's keys. */
export type SigningKey = string | Uint8Array | (PublicJwk & { d: string }) | KeyPair;

export interface AgentNames {
  agent_id: string;
  did: string;
  issuer_id: string;
  public_key: string;
  public_key_jwk: PublicJwk;
}

/** Makes a key and what it is called. */
export function generateCredentials(options?: {
  webCrypto?: false;
}): Promise<AgentNames & { private_key: string; private_key_jwk: PublicJwk & { d: string } }>;
/** The same; the private key never leaves the runtime. */
export function generateCredentials(options: { webCrypto: true }): Promise<AgentNames & { key: KeyPair }>;

export interface PassportOptions {
  key: SigningKey;
  permissions: (string | { permission_key: string; constraints?: Record<string, unknown> })[];
  /** The agent's name, for people. */
  name?: string;
  /** Whether the holder may delegate it. */
  delegable?: boolean;
  form?: "json" | "jwt";
  /** Issue it as at this time; left out, now. */
  at?: Time;
  /** Seconds; left out, a day, and of a delegated passport as long as its parent. */
  expiresIn?: number;
}

export interface MadePassport {
  kind: "passport" | "passport_jwt";
  passport_id: string;
  agent_id: string;
  issued_at: string;
  expires_at: string;
  credential: string;
  /** How it travels. */
  header: { name: string; value: string };
}

/** Issues a passport that the key's agent signs for itself. It is verified before it is given. */
export function selfIssue(options: PassportOptions): Promise<MadePassport>;

/** Delegates `parent`, whose holder's key is `key`, to the agent with the public key `to` (base64). */
export function delegate(parent: Text, options: PassportOptions & { to: string }): Promise<MadePassport>;

export interface SignedRequest {
  /** To send with the request, the credential's among them. */
  headers: Record<string, string>;
  keyid: string;
  nonce: string;
  /** Seconds since 1970. */
  created: number;
}

/** Signs a request (RFC 9421) for gates of profile L2 and L3. The proof is good once. */
export function signRequest(
  request: SentRequest,
  options: {
    key: SigningKey;
    /** Any form that `verifyCredential` takes. */
    credential: Text;
    nonce?: string;
    /** What a gate answered in Accept-Signature. */
    challenge?: string;
    at?: Time;
    /** Seconds, if the proof is to expire earlier than gates let it. */
    expiresIn?: number;
  },
): Promise<SignedRequest>;
