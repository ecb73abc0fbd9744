/** Subresources of pods that upgrade from HTTP to a WebSocket. */
export const STREAMING: readonly string[] = ['exec', 'attach', 'portforward'];
