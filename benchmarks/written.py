"""Text that a model writes itself, for a student of it to learn from where its own training text is not at hand.

    python benchmarks/written.py MODEL -o FILE [--sequences N] [--length L] [--seed S]

At temperature 1 from a fixed seed; one sequence a paragraph.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sdllm.compiler.calibration import self_written
from sdllm.compiler.compile import Request, load_model
from sdllm.compiler.ui import reporter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder, .gguf file or hub id")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--sequences", type=int, default=1600)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    ui = reporter()
    model = load_model(Request(args.model, Path()), ui)
    with ui.stage("write"):
        written = self_written(
            model.program,
            model.store,
            seed=args.seed,
            sequences=args.sequences,
            length=args.length,
            held_out=0,
            generation=model.generation,
            progress=ui.progress,
        )
    ui.close()
    assert model.tokenizer is not None
    texts = model.tokenizer.batch_decode(written.tokens, skip_special_tokens=True)
    args.out.write_text("\n\n".join(text.strip() for text in texts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
