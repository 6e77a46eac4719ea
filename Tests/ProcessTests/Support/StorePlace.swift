import Foundation

/// An object store for a test of commands: where it is, in flags and environment.
struct StorePlace {
    enum Kind: CaseIterable, Sendable {
        case filesystem, s3

        /// Those that this machine has.
        static var available: [Kind] { allCases.filter { $0 == .filesystem || S3Service.isInstalled } }
    }

    /// How `t4 status` calls the place.
    let name: String
    let environment: [String: String]
    private let prefixFlag: String
    private let flags: [String]
    /// Where an S3 place lies. Ends with the last user.
    let service: S3Service?

    init(_ kind: Kind, in folder: URL) async throws {
        switch kind {
        case .filesystem:
            let path = folder.appending(path: "store").path
            name = "Store status file://\(path)/"
            prefixFlag = "--store-prefix"
            flags = ["--store-type", "filesystem", "--store-filesystem-path", path]
            environment = [:]
            service = nil
        case .s3:
            let started = try await S3Service()
            name = "S3 status s3://\(S3Service.bucket)/"
            prefixFlag = "--s3-prefix"
            flags = ["--s3-bucket", S3Service.bucket, "--s3-endpoint", started.endpoint]
            environment = ["AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"]
            service = started
        }
    }

    /// The flags that name the database below a prefix.
    func flags(_ prefix: String) -> [String] { flags + [prefixFlag, prefix] }
}
