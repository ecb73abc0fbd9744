/** Fields of an object of any kind, which a test reads without types. */
export type Fields = any;
