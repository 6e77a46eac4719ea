import CCrypt
import RPC

/// Hashes of passwords: bcrypt, by libxcrypt.
///
/// Everything here takes as long as `cost` says, which is long: never on an event loop.
struct PasswordHash: Sendable {
    /// Rounds as a power of two; etcd's default is 10.
    let cost: Int

    /// A hash as bcrypt writes it has so many bytes.
    private static let byteCount = 60
    /// So many bytes of a password count.
    private static let passwordMax = 72
    /// Somebody who may set hashes must not be able to keep a thread for hours.
    private static let costMax = 20
    /// Compared with where there is no hash, so that it takes as long; no password has this hash.
    private let standIn: [UInt8]

    /// - Parameter cost: 4 ... 20.
    init(cost: Int) {
        self.cost = cost
        standIn = PasswordHash.setting(cost: cost) + Array(repeating: UInt8(ascii: "."), count: 31)
    }

    /// The hash of a password with a salt of its own.
    /// - Throws: `RPCStatus` for a password with a zero byte, behind which nothing would count.
    func make(_ password: [UInt8]) throws(RPCStatus) -> [UInt8] {
        guard !password.contains(0) else {
            throw RPCStatus(.invalidArgument, "t4: a password cannot hold a zero byte")
        }
        guard let hash = PasswordHash.hash(password, PasswordHash.setting(cost: cost)) else {
            throw RPCStatus(.internal, "t4: libxcrypt made no hash")
        }
        return hash
    }

    /// Whether the hash is that of the password. Without a usable hash it is not, and that takes as long.
    func verify(_ password: [UInt8], _ hash: [UInt8]?) -> Bool {
        let known = hash.flatMap { PasswordHash.isUsable($0) ? $0 : nil }
        // What lies behind a zero byte would not count.
        let isWhole = !password.contains(0)
        let made = PasswordHash.hash(password, known ?? standIn)
        guard let made, let known, isWhole else { return false }
        return PasswordHash.areEqual(made, known)
    }

    private static func isUsable(_ hash: [UInt8]) -> Bool {
        guard hash.count == byteCount, hash[0] == UInt8(ascii: "$"), hash[1] == UInt8(ascii: "2"),
            [UInt8(ascii: "a"), UInt8(ascii: "b"), UInt8(ascii: "y")].contains(hash[2]), hash[3] == UInt8(ascii: "$"),
            let cost = Int(String(decoding: hash[4..<6], as: UTF8.self))
        else { return false }
        return cost <= costMax
    }

    /// Looks at every byte, wherever the first difference is.
    private static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }

    /// `$2b$`, the cost and a random salt.
    private static func setting(cost: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        let salt = (0..<16).map { _ in CChar(bitPattern: generator.next()) }
        var output = [CChar](repeating: 0, count: Int(CRYPT_GENSALT_OUTPUT_SIZE))
        let made = crypt_gensalt_rn("$2b$", UInt(cost), salt, Int32(salt.count), &output, Int32(output.count))
        precondition(made != nil, "libxcrypt does not know bcrypt of cost \(cost)")
        return bytes(output)
    }

    private static func hash(_ password: [UInt8], _ setting: [UInt8]) -> [UInt8]? {
        var output = [CChar](repeating: 0, count: Int(CRYPT_OUTPUT_SIZE))
        let isMade = t4_crypt(terminated(Array(password.prefix(passwordMax))), terminated(setting), &output) != 0
        return isMade ? bytes(output) : nil
    }

    private static func terminated(_ bytes: [UInt8]) -> [CChar] { bytes.map { CChar(bitPattern: $0) } + [0] }

    private static func bytes(_ text: [CChar]) -> [UInt8] { text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) } }
}
