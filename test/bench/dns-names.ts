/** The Services of the DNS measurement, which both servers serve. */
export const serviceKey = (i: number): string => `default/web-${i}`;
export const nameOf = (i: number): string => `web-${i}.default.svc.cluster.local`;
export const addressOf = (i: number): string => `10.96.${i >> 8}.${i & 255}`;
