/** Subresources of pods that leave HTTP behind, for a WebSocket. */
export const STREAMING: readonly string[] = ['exec', 'attach', 'portforward'];
