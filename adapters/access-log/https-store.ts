/** A store over HTTPS, and the file with what it knows us by; read at each call. */
export interface HttpsStore {
  readonly url: string;
  readonly secretFile: string;
  readonly caFile: string | undefined;
}
