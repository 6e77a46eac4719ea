// Goal: what proves a login is set as with etcd, and what is wrong with it is said at the start, by name.
import T4Core
import Testing

@testable import T4Config

@Suite struct AuthTokensTests {
    private func tokens(_ text: String) throws -> AuthTokens { try load(flags: ["auth-token": text]).auth.tokens }

    @Test func asWithEtcd() throws {
        #expect(try load().auth.tokens == .simple)
        #expect(try tokens("simple") == .simple)
        var wanted = JWTSettings(method: .rs256, publicKey: "/etc/a=b.pub", privateKey: "p")
        wanted.ttl = .seconds(600)
        #expect(try tokens("jwt,pub-key=/etc/a=b.pub,priv-key=p,sign-method=RS256,ttl=10m") == .jwt(wanted))
        wanted.ttl = .seconds(300)
        (wanted.publicKey, wanted.method) = (nil, .hs512)
        #expect(try tokens("jwt,sign-method=HS512,priv-key=p") == .jwt(wanted))
        (wanted.publicKey, wanted.privateKey, wanted.method) = ("u", nil, .edDSA)
        let text = "\"jwt,sign-method=EdDSA,pub-key=u\""
        #expect(try load("[auth]\ntokens = \(text)\n").auth.tokens == .jwt(wanted))
        #expect(try load(environment: ["T4_AUTH_TOKEN": "jwt,sign-method=EdDSA,pub-key=u"]).auth.tokens == .jwt(wanted))
    }

    @Test(arguments: SigningMethod.allCases) func whatIsShownIsRead(_ method: SigningMethod) throws {
        let configuration = try load(flags: ["auth-token": "jwt,sign-method=\(method.rawValue),priv-key=p,ttl=90s"])
        let shown = configuration.describe()
        #expect(
            shown.contains(
                "\ntokens = \"jwt,sign-method=\(method.rawValue),priv-key=p,ttl=1m30s\"  # --auth-token\n"))
        #expect(try load(shown).auth.tokens == configuration.auth.tokens)
    }

    private static let usage = "\"simple\" or \"jwt,sign-method=METHOD,pub-key=FILE,priv-key=FILE\""

    @Test(arguments: [
        ("jtw,sign-method=RS256", "expected \(usage), found \"jtw,sign-method=RS256\"; did you mean \"jwt\"?"),
        ("paseto", "expected \(usage), found \"paseto\""),
        ("simple,ttl=5m", "tokens of the kind \"simple\" have no options"),
        (
            "jwt,priv-key=p",
            "JSON Web Tokens need a sign-method; add sign-method=METHOD, one of RS256, RS384, RS512, PS256, PS384, "
                + "PS512, ES256, ES384, ES512, HS256, HS384, HS512, EdDSA"
        ),
        ("jwt,priv-key=p,sign-method=rs256", "no sign-method is called \"rs256\"; did you mean \"RS256\"?"),
        (
            "jwt,priv-key=p,sign-method=none",
            "no sign-method is called \"none\"; known: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, "
                + "HS256, HS384, HS512, EdDSA"
        ),
        ("jwt,sign-method=RS256", "RS256 needs a key; add priv-key=FILE, or pub-key=FILE to check tokens only"),
        ("jwt,sign-method=HS256", "HS256 needs a secret; add priv-key=FILE with the file of the secret"),
        (
            "jwt,sign-method=HS256,pub-key=u,priv-key=p",
            "HS256 has no public key: whoever can check its tokens can make them; leave out pub-key, and name the file "
                + "of the secret as priv-key"
        ),
        ("jwt,sign-method=RS256,priv-key=", "\"priv-key\" has no value; write priv-key=VALUE"),
        ("jwt,sign-method=RS256,priv-key", "\"priv-key\" has no value; write priv-key=VALUE"),
        ("jwt,sign-method=RS256,priv-key=p,priv-key=q", "\"priv-key\" stands twice"),
        (
            "jwt,sign-method=RS256,private-key=p",
            "tokens of the kind \"jwt\" have no option \"private-key\"; did you mean \"priv-key\"?"
        ),
        (
            "jwt,sign-method=RS256,kid=p",
            "tokens of the kind \"jwt\" have no option \"kid\"; known: sign-method, pub-key, priv-key, ttl"
        ),
        ("jwt,sign-method=RS256,priv-key=p,ttl=0s", "ttl: \"0s\" is out of range; \"1s\" ... \"87600h\""),
        (
            "jwt,sign-method=RS256,priv-key=p,ttl=5",
            "expected a duration such as \"10s\", \"15m\" or \"1h30m\", found \"5\"; write the unit: \"5s\""
        ),
    ])
    func mistakes(_ text: String, _ wanted: String) throws {
        #expect(try messages(flags: ["auth-token": text]) == "--auth-token: auth.tokens: \(wanted)")
    }
}
