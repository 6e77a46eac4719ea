/// How a JSON Web Token is signed, by the names of RFC 7518 and RFC 8037.
public enum SigningMethod: String, CaseIterable, Sendable {
    /// RSA, PKCS #1 v1.5, SHA-256.
    case rs256 = "RS256"
    /// RSA, PKCS #1 v1.5, SHA-384.
    case rs384 = "RS384"
    /// RSA, PKCS #1 v1.5, SHA-512.
    case rs512 = "RS512"
    /// RSA, PSS, SHA-256.
    case ps256 = "PS256"
    /// RSA, PSS, SHA-384.
    case ps384 = "PS384"
    /// RSA, PSS, SHA-512.
    case ps512 = "PS512"
    /// ECDSA on the curve P-256, SHA-256.
    case es256 = "ES256"
    /// ECDSA on the curve P-384, SHA-384.
    case es384 = "ES384"
    /// ECDSA on the curve P-521, SHA-512.
    case es512 = "ES512"
    /// A secret that signer and verifier share, SHA-256.
    case hs256 = "HS256"
    /// A secret that signer and verifier share, SHA-384.
    case hs384 = "HS384"
    /// A secret that signer and verifier share, SHA-512.
    case hs512 = "HS512"
    /// Ed25519.
    case edDSA = "EdDSA"

    /// What keys it takes.
    package enum Family: Sendable {
        case rsa
        case rsaPSS
        case ecdsa
        case hmac
        case ed25519
    }

    package var family: Family {
        switch self {
        case .rs256, .rs384, .rs512: .rsa
        case .ps256, .ps384, .ps512: .rsaPSS
        case .es256, .es384, .es512: .ecdsa
        case .hs256, .hs384, .hs512: .hmac
        case .edDSA: .ed25519
        }
    }
}
