/**
 * X.509 certificates of one cluster: a CA and the certificates that it signs. Keys are ECDSA P-256,
 * as in kubeadm.
 *
 * Certificates cover all dates that X.509 can express (RFC 5280, 4.1.2.5). An expiry would add no
 * protection: the CA key is in the same directory as the keys that it signs, and `down` deletes
 * them all. It would only lock the owner out after a step of the machine's clock.
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
	AuthorityKeyIdentifierExtension,
	BasicConstraintsExtension,
	cryptoProvider,
	ExtendedKeyUsage,
	ExtendedKeyUsageExtension,
	type Extension,
	type JsonGeneralNames,
	KeyUsageFlags,
	KeyUsagesExtension,
	PemConverter,
	SubjectAlternativeNameExtension,
	SubjectKeyIdentifierExtension,
	X509Certificate,
	X509CertificateGenerator,
} from '@peculiar/x509';

cryptoProvider.set(webcrypto);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const NOT_BEFORE = new Date('1970-01-01T00:00:00Z');
const NOT_AFTER = new Date('9999-12-31T23:59:59Z');

/** A certificate and its private key, both in PEM; the key is PKCS #8. */
export interface KeyPair {
	readonly cert: string;
	readonly key: string;
}

/**
 * The subject of a certificate. The common name is the user name, the organizations are the groups.
 */
export interface Subject {
	readonly commonName: string;
	readonly organizations?: readonly string[];
}

/** Names and addresses at which clients reach a server. */
export interface ServedNames {
	readonly dns: readonly string[];
	/** Without brackets. */
	readonly addresses: readonly string[];
}

/** Creates the CA of a new cluster. */
export async function createAuthority(commonName: string): Promise<KeyPair> {
	const keys = await generateKeys();
	const cert = await X509CertificateGenerator.createSelfSigned({
		name: distinguishedName({ commonName }),
		keys,
		signingAlgorithm: ALGORITHM,
		notBefore: NOT_BEFORE,
		notAfter: NOT_AFTER,
		extensions: [
			new BasicConstraintsExtension(true, undefined, true),
			new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature, true),
			await SubjectKeyIdentifierExtension.create(keys.publicKey),
		],
	});
	return { cert: cert.toString('pem'), key: await privatePem(keys) };
}

/** Signs certificates with one CA key. */
export class Issuer {
	readonly #certificate: X509Certificate;
	readonly #key: webcrypto.CryptoKey;

	private constructor(certificate: X509Certificate, key: webcrypto.CryptoKey) {
		this.#certificate = certificate;
		this.#key = key;
	}

	/** @throws Error unless `authority` is a certificate with its ECDSA P-256 key. */
	static async of(authority: KeyPair): Promise<Issuer> {
		const der = PemConverter.decodeFirst(authority.key);
		const key = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
		return new Issuer(new X509Certificate(authority.cert), key);
	}

	/** Signs a client certificate. */
	client(subject: Subject): Promise<KeyPair> {
		return this.#issue(subject, [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])]);
	}

	/** Signs a server certificate for the given names. */
	server(subject: Subject, { dns, addresses }: ServedNames): Promise<KeyPair> {
		const names: JsonGeneralNames = [
			...dns.map((value) => ({ type: 'dns' as const, value })),
			...addresses.map((value) => ({ type: 'ip' as const, value })),
		];
		return this.#issue(subject, [
			new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
			new SubjectAlternativeNameExtension(names),
		]);
	}

	async #issue(subject: Subject, extensions: Extension[]): Promise<KeyPair> {
		const keys = await generateKeys();
		const cert = await X509CertificateGenerator.create({
			subject: distinguishedName(subject),
			issuer: this.#certificate.subject,
			publicKey: keys.publicKey,
			signingKey: this.#key,
			signingAlgorithm: ALGORITHM,
			notBefore: NOT_BEFORE,
			notAfter: NOT_AFTER,
			extensions: [
				new BasicConstraintsExtension(false, undefined, true),
				new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
				await AuthorityKeyIdentifierExtension.create(this.#certificate),
				...extensions,
			],
		});
		return { cert: cert.toString('pem'), key: await privatePem(keys) };
	}
}

/** Creates an ECDSA P-256 private key, PKCS #8 in PEM. */
export async function createPrivateKey(): Promise<string> {
	return privatePem(await generateKeys());
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
	return webcrypto.subtle.generateKey(ALGORITHM, true, [
		'sign',
		'verify',
	]) as Promise<webcrypto.CryptoKeyPair>;
}

async function privatePem({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
	return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', privateKey), 'PRIVATE KEY')}\n`;
}

const distinguishedName = ({ commonName, organizations = [] }: Subject) => [
	...organizations.map((organization) => ({ O: [organization] })),
	{ CN: [commonName] },
];
