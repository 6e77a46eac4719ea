/// Settings of the `filesystem` store, `[store.filesystem]`.
public struct FilesystemStoreSettings: Decodable, Sendable {
    /// Whether `.absent` and `.unchanged(since:)` are offered.
    public enum ConditionalPuts: String, Decodable, Sendable, CaseIterable {
        /// On file systems of this machine, not on those that several machines share (NFS, SMB, FUSE ...).
        case auto
        /// Always: whoever sets it promises that locks and names of the file system are coherent between all machines.
        case on
        /// Never.
        case off
    }

    /// The folder of the store, created when it is missing; `path`, default `store` in the data directory.
    public var path: String?
    /// `conditional_puts`, default `"auto"`.
    public var conditionalPuts = ConditionalPuts.auto
    /// Calls that work on files at once; 1 ... 256. `threads`, default 8. Further ones wait.
    public var threads = 8

    /// The defaults.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case path, threads
        case conditionalPuts = "conditional_puts"
    }

    /// Reads the keys that are there.
    /// - Throws: `DecodingError` that says which value cannot be used.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        if let path = try values.decodeIfPresent(String.self, forKey: .path) {
            guard !path.isEmpty, !path.utf8.contains(0) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .path, in: values, debugDescription: "\(path.debugDescription) is no path of a folder")
            }
            self.path = path
        }
        if let text = try values.decodeIfPresent(String.self, forKey: .conditionalPuts) {
            guard let choice = ConditionalPuts(rawValue: text) else {
                let known = ConditionalPuts.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
                throw DecodingError.dataCorruptedError(
                    forKey: .conditionalPuts, in: values, debugDescription: "\"\(text)\" is none of \(known)")
            }
            conditionalPuts = choice
        }
        if let threads = try values.decodeIfPresent(Int.self, forKey: .threads) {
            guard (1...256).contains(threads) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .threads, in: values, debugDescription: "\(threads) is not between 1 and 256")
            }
            self.threads = threads
        }
    }
}
