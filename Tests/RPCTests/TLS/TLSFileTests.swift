import Foundation
import Logging
import TestCertificates
import Testing

@testable import RPC

/// Goal: whoever names a wrong file is told which, what is wrong with it and what to try. Method: files that are wrong in
/// every way that operators know, made with openssl.
@Suite struct TLSFileTests {
    private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func problem(
        _ certificate: String, _ key: String, _ authority: String? = nil, now: Int64 = CertificateClock.now
    ) -> CredentialFileError? {
        do throws(CredentialFileError) {
            _ = try RPCServerTLS(
                certificate: CredentialFile(setting: "cert", path: certificate),
                key: CredentialFile(setting: "key", path: key),
                clientAuthority: authority.map { CredentialFile(setting: "ca", path: $0) }, logger: quiet, now: { now })
            return nil
        } catch {
            return error
        }
    }

    /// What is wrong is said of the file and the setting that it is wrong with.
    private func expect(
        _ problem: CredentialFileError?, _ setting: String, _ file: String, _ reason: String, hint: String = "",
        at location: SourceLocation = #_sourceLocation
    ) {
        #expect(problem?.setting == setting && problem?.file == file, "\(problem as Any)", sourceLocation: location)
        #expect(
            problem?.reason.contains(reason) == true && (hint.isEmpty || problem?.hint.contains(hint) == true),
            "\(problem as Any)", sourceLocation: location)
        #expect(
            problem.map { "\($0)" } == problem.map { "\(setting): \(file): \($0.reason); \($0.hint)" },
            sourceLocation: location)
    }

    @Test func goodFilesAreTaken() async throws {
        try await TestCertificates.with { files in
            let ecdsa = try await files.makeServer()
            #expect(problem(ecdsa.certificate, ecdsa.key) == nil)
            #expect(problem(ecdsa.certificate, ecdsa.key, files.authority()) == nil)
            let rsa = try await files.makeServer("rsa", key: ["-newkey", "rsa:2048"])
            #expect(problem(rsa.certificate, rsa.key) == nil)
            let edwards = try await files.makeServer("edwards", key: ["-newkey", "ed25519"])
            #expect(problem(edwards.certificate, edwards.key) == nil)
            // Everything in one file, as some tools write it.
            let both = files.path("both")
            try (Data(contentsOf: URL(filePath: rsa.key)) + Data(contentsOf: URL(filePath: rsa.certificate)))
                .write(to: URL(filePath: both))
            #expect(problem(both, both) == nil)
        }
    }

    @Test func filesThatCannotBeRead() async throws {
        try await TestCertificates.with { files in
            let good = try await files.makeServer()
            let missing = files.path("missing")
            expect(problem(missing, good.key), "cert", missing, "no such file", hint: "check the path")
            expect(problem(good.certificate, missing), "key", missing, "no such file")
            expect(problem(good.certificate, good.key, missing), "ca", missing, "no such file")
            expect(problem(files.folder.path, good.key), "cert", files.folder.path, "a directory")
            expect(problem(good.certificate, "/dev/zero"), "key", "/dev/zero", "no regular file")
            let empty = files.path("empty")
            try Data().write(to: URL(filePath: empty))
            expect(problem(empty, good.key), "cert", empty, "is empty")
            expect(problem(good.certificate, empty), "key", empty, "is empty")
            expect(problem(good.certificate, good.key, empty), "ca", empty, "is empty")
            let large = files.path("large")
            try Data(count: 17 << 20).write(to: URL(filePath: large))
            expect(problem(large, good.key), "cert", large, "larger than 16 MiB")
        }
    }

    @Test func aFileThatMayNotBeRead() async throws {
        try await TestCertificates.with { files in
            let good = try await files.makeServer()
            try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: good.key)
            let found = try withoutOverride { problem(good.certificate, good.key) }
            expect(found, "key", good.key, "no permission", hint: "user that t4 runs as")
        }
    }

    /// Runs `body` bound by the permissions of files even where the tests run as root: without the capabilities to pass
    /// over them, which belong to a thread (capabilities(7)).
    private func withoutOverride<Result>(_ body: () -> Result) throws -> Result {
        // glibc has the calls without a header.
        typealias Call = @convention(c) (UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<UInt32>) -> CInt
        let get = unsafeBitCast(try #require(dlsym(nil, "capget")), to: Call.self)
        let set = unsafeBitCast(try #require(dlsym(nil, "capset")), to: Call.self)
        // Version 3, of this thread. Then effective, permitted and inheritable, of capabilities 0 to 31 and 32 to 63.
        var header: [UInt32] = [0x2008_0522, 0]
        var before = [UInt32](repeating: 0, count: 6)
        try #require(get(&header, &before) == 0)
        var bound = before
        // CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
        bound[0] &= ~0b110
        try #require(set(&header, &bound) == 0)
        let result = body()
        try #require(set(&header, &before) == 0)
        return result
    }

    @Test func filesThatAreSomethingElse() async throws {
        try await TestCertificates.with { files in
            let good = try await files.makeServer()
            let text = files.path("text")
            try Data("hello".utf8).write(to: URL(filePath: text))
            expect(problem(text, good.key), "cert", text, "no certificate in PEM format", hint: "-inform DER")
            expect(problem(good.certificate, text), "key", text, "no private key in PEM format")
            expect(problem(good.certificate, good.key, text), "ca", text, "no certificate in PEM format")
            let der = files.path("der")
            try await files.openssl(["x509", "-in", good.certificate, "-outform", "DER", "-out", der])
            expect(problem(der, good.key), "cert", der, "no certificate in PEM format")
            expect(problem(good.key, good.key), "cert", good.key, "a private key", hint: "swapped")
            expect(problem(good.certificate, good.certificate), "key", good.certificate, "a certificate")
            expect(problem(good.certificate, good.key, good.key), "ca", good.key, "a private key")
            let request = files.path("request")
            try await files.openssl([
                "req", "-new", "-config", files.path("config"), "-key", good.key, "-subj", "/CN=a", "-out", request,
            ])
            expect(problem(request, good.key), "cert", request, "a request", hint: "sign")
            let damaged = files.path("damaged")
            let whole = try String(contentsOfFile: good.certificate, encoding: .utf8)
            // The first byte of the structure inside.
            try whole.replacing("-----\nM", with: "-----\nA").write(toFile: damaged, atomically: true, encoding: .utf8)
            expect(problem(damaged, good.key), "cert", damaged, "damaged")
            let cut = files.path("cut")
            try String(whole.prefix(whole.count / 2)).write(toFile: cut, atomically: true, encoding: .utf8)
            expect(problem(cut, good.key), "cert", cut, "damaged")
            let key = try String(contentsOfFile: good.key, encoding: .utf8)
            try key.replacing("-----\nM", with: "-----\nA").write(toFile: damaged, atomically: true, encoding: .utf8)
            expect(problem(good.certificate, damaged), "key", damaged, "damaged")
        }
    }

    @Test func aKeyOfAnotherCertificate() async throws {
        try await TestCertificates.with { files in
            let good = try await files.makeServer()
            let other = try await files.makeServer("other")
            let rsa = try await files.makeServer("rsa", key: ["-newkey", "rsa:2048"])
            for key in [other.key, rsa.key] {
                expect(
                    problem(good.certificate, key), "key", key,
                    "does not belong to the certificate in \(good.certificate)")
            }
        }
    }

    @Test func encryptedKeys() async throws {
        try await TestCertificates.with { files in
            let good = try await files.makeServer()
            let encrypted = files.path("encrypted")
            try await files.openssl(["pkcs8", "-topk8", "-in", good.key, "-passout", "pass:secret", "-out", encrypted])
            expect(problem(good.certificate, encrypted), "key", encrypted, "is encrypted", hint: "openssl pkey")
            try await files.openssl([
                "ec", "-aes128", "-in", good.key, "-passout", "pass:secret", "-out", encrypted,
            ])
            expect(problem(good.certificate, encrypted), "key", encrypted, "is encrypted")
        }
    }

    @Test func certificatesOutOfDate() async throws {
        try await TestCertificates.with { files in
            let good = try await files.makeServer()
            let now = CertificateClock.now
            let day: Int64 = 86_400
            expect(
                problem(good.certificate, good.key, now: now + 4 * day), "cert", good.certificate, "expired at 20",
                hint: "renewed")
            expect(
                problem(good.certificate, good.key, now: now - day), "cert", good.certificate, "not valid before 20",
                hint: "clock")
            #expect(problem(good.certificate, good.key, files.authority(), now: now + day) == nil)
        }
    }

    @Test func aCAOutOfDate() async throws {
        try await TestCertificates.with { files in
            // The CA of three days and a server's certificate of another that lives longer.
            let good = try await files.makeServer()
            let long = files.path("long.crt")
            try await files.openssl([
                "req", "-x509", "-config", files.path("config"), "-key", good.key, "-subj", "/CN=long", "-days", "30",
                "-out", long,
            ])
            let later = CertificateClock.now + 4 * 86_400
            #expect(problem(long, good.key, now: later) == nil)
            expect(problem(long, good.key, files.authority(), now: later), "ca", files.authority(), "expired at 20")
            // One that is good is enough.
            let both = files.path("both")
            try (Data(contentsOf: URL(filePath: files.authority())) + Data(contentsOf: URL(filePath: long)))
                .write(to: URL(filePath: both))
            #expect(problem(long, good.key, both, now: later) == nil)
        }
    }

    /// A chain that ends in the middle is none for BoringSSL.
    @Test func aCAWithoutItsRoot() async throws {
        try await TestCertificates.with { files in
            let good = try await files.makeServer()
            let between = try await files.makeAuthority("between", signer: "ca").certificate
            expect(problem(good.certificate, good.key, between), "ca", between, "holds no root", hint: "root CA")
            try (Data(contentsOf: URL(filePath: between)) + Data(contentsOf: URL(filePath: files.authority())))
                .write(to: URL(filePath: between))
            #expect(problem(good.certificate, good.key, between) == nil)
        }
    }

    @Test func timesAreWrittenInUTC() {
        #expect(CertificateClock.text(0) == "1970-01-01T00:00:00Z")
        #expect(CertificateClock.text(1_795_827_723) == "2026-11-28T01:02:03Z")
    }
}
