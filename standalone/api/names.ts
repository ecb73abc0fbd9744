/** Name rules of Kubernetes, with the API server's messages (apimachinery/pkg/util/validation). */

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const PORT_NAME = /^[-a-z0-9]+$/;

const tooLong = (limit: number): string => `must be no more than ${limit} characters`;

const LABEL_TEXT =
	"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035_TEXT =
	"a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_TEXT =
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED_TEXT =
	"name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_TEXT =
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** Validates a string. @returns the errors; empty if valid. */
export type NameRule = (value: string) => string[];

const rule =
	(limit: number, pattern: RegExp, text: string): NameRule =>
	(value) => [...(value.length > limit ? [tooLong(limit)] : []), ...(pattern.test(value) ? [] : [text])];

export const dnsLabel: NameRule = rule(63, LABEL, LABEL_TEXT);
export const dns1035Label: NameRule = rule(63, LABEL_1035, LABEL_1035_TEXT);
export const dnsSubdomain: NameRule = rule(253, SUBDOMAIN, SUBDOMAIN_TEXT);

/** `[prefix/]name`, for label and annotation keys. */
export const qualifiedName: NameRule = (value) => {
	const parts = value.split('/');
	if (parts.length > 2)
		return [
			`a qualified name ${QUALIFIED_TEXT.slice('name part '.length)} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
		];
	const name = parts.at(-1)!;
	const faults: string[] = [];
	if (parts.length === 2) {
		if (parts[0] === '') faults.push('prefix part must be non-empty');
		else faults.push(...dnsSubdomain(parts[0]!).map((fault) => `prefix part ${fault}`));
	}
	if (name === '') faults.push('name part must be non-empty');
	else if (name.length > 63) faults.push(`name part ${tooLong(63)}`);
	if (!QUALIFIED.test(name)) faults.push(QUALIFIED_TEXT);
	return faults;
};

export const labelValue: NameRule = (value) => [
	...(value.length > 63 ? [tooLong(63)] : []),
	...(value === '' || QUALIFIED.test(value) ? [] : [VALUE_TEXT]),
];

/** IANA_SVC_NAME: names of container ports and named target ports. */
export const portName: NameRule = (value) => {
	const faults: string[] = [];
	if (value.length > 15) faults.push(tooLong(15));
	if (!PORT_NAME.test(value))
		faults.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
	if (!/[a-z]/.test(value)) faults.push('must contain at least one letter (a-z)');
	if (value.includes('--')) faults.push('must not contain consecutive hyphens');
	if (value.startsWith('-') || value.endsWith('-')) faults.push('must not begin or end with a hyphen');
	return faults;
};

export const portNumber = (value: unknown): string[] =>
	Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65535
		? []
		: ['must be between 1 and 65535, inclusive'];

/** A name that is a single path segment (apimachinery, path.ValidatePathSegmentName). */
export const pathSegment: NameRule = (value) => [
	...(value === '.' || value === '..' ? [`may not be '${value}'`] : []),
	...['/', '%'].filter((sign) => value.includes(sign)).map((sign) => `may not contain '${sign}'`),
];
