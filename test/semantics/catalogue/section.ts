/** A part of the catalogue: rules (R-…), and cases as examples of them. */
export interface Section {
	readonly letter: string;
	readonly title: string;
	/** Each id with its rule or case in one line, in the order of the page. */
	readonly entries: Readonly<Record<string, string>>;
}
