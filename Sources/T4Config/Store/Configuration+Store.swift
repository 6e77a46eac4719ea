import Foundation
public import T4Protocols

/// Where the object store lies, seen from the data directory.
public enum StorePlace: Hashable, Sendable {
    /// There is no object store.
    case none
    /// It is lost with the data directory, or sooner: the filesystem store in it, or the one in memory.
    case inside
    /// It outlives the data directory.
    case outside
}

extension Configuration {
    /// Where the object store lies.
    public var storePlace: StorePlace {
        switch store.type {
        case Store.none: .none
        case "memory": .inside
        case "filesystem": storeFolder == defaultStoreFolder ? .inside : .outside
        default: .outside
        }
    }

    /// The store and the prefix in it, as messages name them: `s3://my-bucket/t4/`, `file:///mnt/t4-store/t4/`.
    public var storeName: String {
        switch store.type {
        case "filesystem": "file://\(storeFolder ?? "")/\(store.prefix)"
        case "s3": "s3://\(store.settings.text("bucket") ?? "")/\(store.prefix)"
        case Store.none: Store.none
        default: "\(store.type):\(store.prefix)"
        }
    }

    /// The moment at which a store of type `s3` is shown, read only; nil for what is there now.
    public var storeMoment: Timestamp? {
        store.type == "s3" ? store.settings.text("as_of").flatMap { Timestamp($0) } : nil
    }

    /// Refuses a store that shows the past.
    /// - Parameter purpose: What needs the present: `t4 run`.
    /// - Throws: The problem, with the place of the setting.
    public func requirePresentStore(for purpose: String) throws(ConfigurationError) {
        guard let moment = storeMoment else { return }
        throw ConfigurationError(
            ConfigurationError.Problem(
                at: store.settings.origin(of: "as_of"), key: "store.s3.as_of",
                reason: "the bucket as it was at \(moment) can only be read, which is not enough for \(purpose)",
                hint: "leave it out"))
    }

    /// The folder of a store of type `filesystem`, absolute and without a slash at its end; nil for other types.
    public var storeFolder: String? {
        guard store.type == "filesystem" else { return nil }
        return store.settings.text("path").map(Configuration.absolute) ?? defaultStoreFolder
    }

    /// Where a filesystem store lies that has no path.
    private var defaultStoreFolder: String { Configuration.absolute(node.dataDirectory + "/store") }

    private static func absolute(_ path: String) -> String {
        let path = URL(filePath: path).standardizedFileURL.path(percentEncoded: false)
        return path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }
}
