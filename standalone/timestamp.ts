/**
 * Formats a time as RFC 3339 in whole seconds, like metav1.Time.
 * @param ms milliseconds since the epoch
 */
export const timestamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
