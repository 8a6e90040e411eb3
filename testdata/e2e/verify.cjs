// Verifies a bundle with sigstore-js: verify.cjs TRUSTED_ROOT BUNDLE ARTIFACT [PUBLIC_KEY | IDENTITY ISSUER].
// The artifact's digest is held against the statement's subjects here, because
// @sigstore/verify checks the envelope only.
const crypto = require('crypto');
const fs = require('fs');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const [rootPath, bundlePath, artifactPath, who, issuer] = process.argv.slice(2);
const read = (path) => JSON.parse(fs.readFileSync(path, 'utf8'));
try {
  const keyed = !issuer;
  const material = toTrustMaterial(TrustedRoot.fromJSON(read(rootPath)),
    keyed ? () => ({ publicKey: crypto.createPublicKey(fs.readFileSync(who)), validFor: () => true }) : undefined);
  const bundle = bundleFromJSON(read(bundlePath));
  const verifier = new Verifier(material, { tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 1 });
  verifier.verify(toSignedEntity(bundle), keyed ? undefined : { subjectAlternativeName: who, extensions: { issuer } });
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString('utf8'));
  const digest = crypto.createHash('sha256').update(fs.readFileSync(artifactPath)).digest('hex');
  if (!statement.subject.some((s) => s.digest.sha256 === digest)) throw new Error('no subject has the digest ' + digest);
  console.log('sigstore-js: verified');
} catch (e) {
  console.error('sigstore-js: ' + e.message);
  process.exit(1);
}
