import ArgumentParser
import FoundationEssentials
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// The flags of commands that work on an object store without a node: those of `t4 run` that say where it is.
struct StoreOptions: ParsableArguments {
    @Option(help: "Read settings from a TOML file. Environment: T4_CONFIG.")
    var config: String?

    @Option(help: "The data directory, where a filesystem store without a path lies. Environment: T4_DATA_DIR.")
    var dataDir: String?

    @Option(help: "The store's type; s3 where a bucket is named. Environment: T4_STORE_TYPE.")
    var storeType: String?

    @Option(help: "What the names of the database's objects begin with. Environment: T4_STORE_PREFIX.")
    var storePrefix: String?

    @Option(help: "Folder of a filesystem store. Environment: T4_STORE_FILESYSTEM_PATH.")
    var storeFilesystemPath: String?

    @Option(help: "The bucket. Environment: T4_S3_BUCKET.")
    var s3Bucket: String?

    @Option(help: "As --store-prefix, in a bucket. Environment: T4_S3_PREFIX.")
    var s3Prefix: String?

    @Option(help: "http(s)://HOST of a service other than AWS. Environment: T4_S3_ENDPOINT.")
    var s3Endpoint: String?

    @Option(help: "The bucket's region. Environment: T4_S3_REGION.")
    var s3Region: String?

    @Option(help: "auto, path or virtual. Environment: T4_S3_ADDRESSING.")
    var s3Addressing: String?

    @Option(help: "PEM file of certificate authorities to trust. Environment: T4_S3_CA_FILE.")
    var s3CaFile: String?

    @Option(
        help:
            "Show a bucket that keeps versions as it was at this time: 2024-06-01T12:00:00Z. Environment: T4_S3_AS_OF.")
    var s3AsOf: String?

    @Option(help: "A profile of the shared AWS files. Environment: T4_S3_PROFILE.")
    var s3Profile: String?

    @Option(help: "Access key. Environment: T4_S3_ACCESS_KEY_ID.")
    var s3AccessKeyId: String?

    @Option(help: "File with the secret key. Environment: T4_S3_SECRET_ACCESS_KEY_FILE.")
    var s3SecretAccessKeyFile: String?

    @Option(help: "The secret key; other users of the machine can read flags. Environment: T4_S3_SECRET_ACCESS_KEY.")
    var s3SecretAccessKey: String?

    /// The configuration that `t4 run` would have with these flags; its warnings go to standard error.
    /// - Throws: Everything that is wrong with it, in the store's part and elsewhere.
    func configuration(_ registry: BackendRegistry = .builtIn) throws -> Configuration {
        let flags = [
            ("config", config), ("data-dir", dataDir), ("store-type", storeType), ("store-prefix", storePrefix),
            ("store-filesystem-path", storeFilesystemPath), ("s3-bucket", s3Bucket), ("s3-prefix", s3Prefix),
            ("s3-endpoint", s3Endpoint), ("s3-region", s3Region), ("s3-addressing", s3Addressing),
            ("s3-ca-file", s3CaFile), ("s3-as-of", s3AsOf), ("s3-profile", s3Profile),
            ("s3-access-key-id", s3AccessKeyId),
            ("s3-secret-access-key-file", s3SecretAccessKeyFile), ("s3-secret-access-key", s3SecretAccessKey),
        ]
        let arguments = flags.compactMap { flag, value in value.map { "--\(flag)=\($0)" } }
        let configuration = try ConfigurationSource(arguments: arguments).load(registry)
        for warning in configuration.warnings { StandardError.write("t4: warning: \(warning)\n") }
        return configuration
    }

    /// Opens the store that the configuration names, and asks it once, so that what is wrong with it is said here.
    /// - Throws: Also `CommandFailure` when there is no store: `none`, or a folder that does not exist.
    func open(logger: Logger, _ registry: BackendRegistry = .builtIn) async throws -> OpenedStore {
        try await open(configuration(registry), logger: logger, registry)
    }

    /// Opens the store of what `configuration` gave; as the other `open`.
    func open(
        _ configuration: Configuration, logger: Logger, _ registry: BackendRegistry = .builtIn
    ) async throws -> OpenedStore {
        let name = configuration.storeName
        if let folder = configuration.storeFolder, !FileManager.default.fileExists(atPath: folder) {
            throw CommandFailure(
                description: "there is no object store at \(name): the folder \(folder) does not exist; name one with "
                    + "--s3-bucket, --store-filesystem-path, --data-dir or in the file of --config")
        }
        return try await OpenedStore.open(configuration, registry, logger: logger)
    }
}

/// A store for a command; close it.
struct OpenedStore: Sendable {
    /// The objects of the configured database: names without the prefix. Passing failures are tried again.
    let store: any ObjectStore
    /// All of the store, for reaching other prefixes. Passing failures are tried again.
    let root: any ObjectStore
    /// Empty, or with a slash at its end.
    let prefix: String
    /// The name in the registry.
    let type: String
    /// `s3://my-bucket/t4/`, `file:///mnt/t4-store/t4/`, with the moment where it shows the past.
    let displayName: String

    private init(_ base: any ObjectStore, _ configuration: Configuration) {
        prefix = configuration.store.prefix
        root = RetryingStore(base)
        store = RetryingStore(PrefixedStore(base, prefix: prefix))
        type = configuration.store.type
        displayName = configuration.storeName + (configuration.storeMoment.map { " as of \($0)" } ?? "")
    }

    /// Opens the store of a configuration and asks it once.
    /// - Throws: `CommandFailure` that says what to look at.
    static func open(
        _ configuration: Configuration, _ registry: BackendRegistry, logger: Logger
    ) async throws -> OpenedStore {
        let base = try await configuration.makeStore(registry, logger: logger)
        let opened = OpenedStore(base, configuration)
        do {
            // A quick answer: a wrong address is more likely than a passing outage.
            let impatient = RetryingStore(base, policy: RetryPolicy(deadline: .seconds(3)))
            _ = try await impatient.list(prefix: ObjectKey(opened.prefix), after: nil, limit: 1)
        } catch {
            await base.close()
            throw opened.explained(error)
        }
        return opened
    }

    /// Lets go of connections and files; `store` and `root` are of no use afterwards.
    func close() async { await root.close() }

    /// The error for people: which store it was, and what to look at. Errors that are not the store's stay as they are.
    func explained(_ error: any Error) -> any Error {
        (error as? ObjectStoreError).map { StoreFailure.of($0, type: type, name: displayName) } ?? error
    }
}

extension Configuration {
    /// Opens the store, as it is, without the prefix.
    /// - Throws: `CommandFailure` that says what to look at.
    func makeStore(_ registry: BackendRegistry, logger: Logger) async throws -> any ObjectStore {
        if storePlace == .none {
            throw CommandFailure(
                description: "there is no object store: store.type is \"\(Store.none)\"; name one with --s3-bucket or "
                    + "--store-type, or in the file of --config")
        }
        do {
            return try await registry.makeStore(
                store.type, settings: store.settings,
                context: StoreContext(dataDirectory: node.dataDirectory, logger: logger))
        } catch let error as ObjectStoreError {
            throw StoreFailure.of(error, type: store.type, name: storeName)
        }
    }
}

private enum StoreFailure {
    static func of(_ error: ObjectStoreError, type: String, name: String) -> CommandFailure {
        let advice = advice(error.code, isS3: type == "s3")
        return CommandFailure(description: "cannot use \(name): \(error)" + (advice.map { "; \($0)" } ?? ""))
    }

    private static func advice(_ code: ObjectStoreError.Code, isS3: Bool) -> String? {
        switch code {
        case .permissionDenied where isS3:
            "check the access key, the secret key and what they may do with the bucket"
        case .permissionDenied: "check who may read and write there"
        case .unavailable where isS3: "check the endpoint, and that it can be reached from here"
        default: nil
        }
    }
}
