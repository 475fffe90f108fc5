"""Writes a small model of random weights: the llama architecture, as a real server loads it.

It talks nonsense, and that is enough: the server around it is real, with real sampling, stop words and
lengths. The same seed gives the same file, byte for byte.

Usage: python tiny_gguf.py OUT.gguf [SEED]
"""

import sys

import gguf
import numpy as np

CONTEXT = 512
WIDTH = 64
FEED_FORWARD = 128
HEADS = 4
LAYERS = 2
# Three special pieces, the 256 bytes, the printable ASCII characters, and a few words.
WORDS = (
    "▁the ▁a ▁and ▁of ▁to ▁in ▁is ▁was ▁star ▁stars ▁moon ▁sun ▁light ▁ship ▁sky ▁blue ▁dark ▁far "
    "▁home ▁time ▁night ▁small ▁great ▁old ▁new ▁who ▁why ▁how ▁said ▁went ▁saw ▁it ▁she ▁he ▁they "
    "▁we ▁you ▁on ▁at ▁for ▁with ▁space ▁story ▁end ing ed er ly s . , ! ?"
).split()


def vocabulary():
    """Returns the pieces, their scores and their types, in the order of their ids."""
    kind = gguf.TokenType
    pieces = [("<unk>", 0.0, kind.UNKNOWN), ("<s>", 0.0, kind.CONTROL), ("</s>", 0.0, kind.CONTROL)]
    pieces += [(f"<0x{byte:02X}>", 0.0, kind.BYTE) for byte in range(256)]
    seen = set()
    for word in ["▁"] + [chr(c) for c in range(0x21, 0x7F)] + WORDS:
        if word not in seen:
            seen.add(word)
            # A longer piece wins over its letters: the scores are log probabilities in a real model.
            pieces.append((word, float(len(word)) - 100.0, kind.NORMAL))
    return pieces


def main():
    out = sys.argv[1]
    random = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    pieces = vocabulary()

    def weights(*shape):
        return (random.standard_normal(shape) * (1.0 / np.sqrt(shape[-1]))).astype(np.float16)

    def ones(size):
        return np.ones(size, dtype=np.float32)

    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(pieces))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.encode() for piece, _, _ in pieces])
    writer.add_token_scores([score for _, score, _ in pieces])
    writer.add_token_types([int(kind) for _, _, kind in pieces])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"
    )

    writer.add_tensor("token_embd.weight", weights(len(pieces), WIDTH))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(block + "attn_norm.weight", ones(WIDTH))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}{name}.weight", weights(WIDTH, WIDTH))
        writer.add_tensor(block + "ffn_norm.weight", ones(WIDTH))
        writer.add_tensor(block + "ffn_gate.weight", weights(FEED_FORWARD, WIDTH))
        writer.add_tensor(block + "ffn_up.weight", weights(FEED_FORWARD, WIDTH))
        writer.add_tensor(block + "ffn_down.weight", weights(WIDTH, FEED_FORWARD))
    writer.add_tensor("output_norm.weight", ones(WIDTH))

    # The bytes of no text and the special pieces shall be rare: an answer is then mostly letters and words,
    # and its end is the length that was asked for.
    output = weights(len(pieces), WIDTH)
    output[:259] *= np.float16(0.2)
    writer.add_tensor("output.weight", output)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
