// Goal: TLS is on where a certificate is named, and a setting for it that is incomplete or empty stops the node.
import Testing

@testable import T4Config

@Suite struct ClientTLSTests {
    @Test func byFileVariableAndFlag() throws {
        #expect(try !load().clientTLS.isOn)
        let file = try load("[client_tls]\ncert = \"c\"\nkey = \"k\"\nca = \"a\"\n").clientTLS
        #expect(file.isOn && file.certificate == "c" && file.key == "k" && file.clientAuthority == "a")
        let mixed = try load(
            "[client_tls]\nkey = \"k\"\n", environment: ["T4_CLIENT_TLS_CERT": "v", "T4_CLIENT_TLS_KEY": "w"],
            flags: ["client-tls-cert": "f"]
        ).clientTLS
        #expect(mixed.certificate == "f" && mixed.key == "w" && mixed.clientAuthority.isEmpty)
    }

    @Test(arguments: [
        (["client-tls-cert": "c"], "cert", "key", "its private key"),
        (["client-tls-key": "k"], "key", "cert", "its certificate"),
        (["client-tls-ca": "a"], "ca", "cert", "the node's certificate"),
    ])
    func halfOfIt(_ flags: [String: String], _ given: String, _ missing: String, _ what: String) throws {
        #expect(
            try messages(flags: flags)
                == "--client-tls-\(given): client_tls.\(given): is of no use without client_tls.\(missing); "
                + "name the file of \(what)")
    }

    /// A script whose variable has no value must not open a port without TLS, or to everybody.
    @Test(arguments: ["cert", "key", "ca"]) func emptyValues(_ name: String) throws {
        let variable = "T4_CLIENT_TLS_\(name.uppercased())"
        #expect(
            try messages(environment: [variable: ""])
                == "\(variable): client_tls.\(name): it is empty; leave it out where none is meant")
    }
}
