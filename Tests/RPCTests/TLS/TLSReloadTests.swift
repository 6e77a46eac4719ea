import Foundation
import NIOCore
import RPC
import T4Conformance
import TestCertificates
import Testing

/// Goal: files that are replaced count for the next connection, and nobody notices a mistake but the log. Method: files are
/// replaced under a server with an open connection.
@Suite struct TLSReloadTests {
    private func replace(_ file: String, with other: String) throws {
        try Data(contentsOf: URL(filePath: other)).write(to: URL(filePath: file), options: .atomic)
    }

    private func canConnect(
        _ server: RPCServer, trusting authority: String, as pair: TestCertificates.Pair? = nil
    ) async throws -> Bool {
        do {
            let client = try await connect(server, trusting: authority, as: pair)
            let status = await failure(client, "/test.Echo/Unary", [1])
            await client.close()
            return status.isOK
        } catch is RPCError {
            return false
        }
    }

    @Test func certificates() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            try await files.makeAuthority("next")
            let next = try await files.makeServer("later", signer: "next")
            let (old, new) = (files.authority(), files.authority("next"))
            let kept = (certificate: files.path("kept.crt"), key: files.path("kept.key"))
            try replace(kept.certificate, with: pair.certificate)
            try replace(kept.key, with: pair.key)
            let log = LogLines()
            try await withTLSServer(pair, log: log) { server in
                let living = try await connect(server, trusting: old)
                #expect(try await living.unary("/test.Echo/Unary", [1]) == [1])
                // One file of the two: still the old pair, and one line for all who come meanwhile.
                try replace(pair.certificate, with: next.certificate)
                for _ in 0..<3 { #expect(try await canConnect(server, trusting: old)) }
                #expect(try await !canConnect(server, trusting: new))
                let told = log.containing(
                    "error new TLS files cannot be used, the old ones stay in use: key: \(pair.key)")
                #expect(told.count == 1 && told[0].contains("does not belong"), "\(log.all)")
                // Both.
                try replace(pair.key, with: next.key)
                #expect(try await canConnect(server, trusting: new))
                #expect(try await !canConnect(server, trusting: old))
                #expect(log.containing("notice new TLS files are in use").count == 1, "\(log.all)")
                // One that is gone, then back.
                try FileManager.default.removeItem(atPath: pair.key)
                for _ in 0..<3 { #expect(try await canConnect(server, trusting: new)) }
                #expect(log.containing("there is no such file").count == 1, "\(log.all)")
                try replace(pair.key, with: next.key)
                #expect(try await canConnect(server, trusting: new))
                #expect(log.containing("notice the TLS files in use are back").count == 1, "\(log.all)")
                // In place and not by renaming, back to the first.
                try Data(contentsOf: URL(filePath: kept.certificate)).write(to: URL(filePath: pair.certificate))
                try Data(contentsOf: URL(filePath: kept.key)).write(to: URL(filePath: pair.key))
                #expect(try await canConnect(server, trusting: old))
                // Whoever was there has not noticed.
                #expect(try await living.unary("/test.Echo/Unary", [2]) == [2])
                await living.close()
            }
        }
    }

    @Test func authorities() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            try await files.makeAuthority("next")
            let (old, new) = (try await files.makeClient("old"), try await files.makeClient("new", signer: "next"))
            let clients = files.path("clients.crt")
            try replace(clients, with: files.authority())
            try await withTLSServer(pair, clients: clients) { server in
                #expect(try await canConnect(server, trusting: files.authority(), as: old))
                #expect(try await !canConnect(server, trusting: files.authority(), as: new))
                try replace(clients, with: files.authority("next"))
                #expect(try await !canConnect(server, trusting: files.authority(), as: old))
                #expect(try await canConnect(server, trusting: files.authority(), as: new))
                try Data().write(to: URL(filePath: clients))
                #expect(try await !canConnect(server, trusting: files.authority(), as: old))
                #expect(try await canConnect(server, trusting: files.authority(), as: new))
            }
        }
    }
}
