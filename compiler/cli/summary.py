"""The one table about a compiled model: how close, how many spikes, at what energy."""

from __future__ import annotations

from ..artifact import Artifact
from .output import print_table, si


def print_summary(artifact: Artifact) -> None:
    """Print it; what was not measured is left out."""
    metrics = artifact.metrics
    rows: list[tuple[str, str, str]] = []
    like = metrics.get("likeness")
    if like:
        rows.append(("perplexity of the source", f"{like['source_perplexity']:.2f}", metrics["text"]))
        rows.append(
            ("perplexity of the spike program", f"{like['perplexity']:.2f}", f"{like['ratio']:.3f} x the source")
        )
        rows.append(("same likeliest token", f"{like['agreement']:.1%}", f"KL {like['kl']:.3f} nats a token"))
    for name, found in metrics.get("firing", {}).items():
        if not found["macs"]:
            continue
        rows += [
            (
                f"{name}: spikes per activation",
                f"{found['spikes_per_activation']:.3f}",
                f"{found['nonzero']:.1%} fire at all",
            ),
            (f"{name}: firing rate", f"{found['firing_rate']:.3f}", f"in {found['time_steps']} time steps"),
            (f"{name}: additions per weight", f"{found['additions_per_weight']:.3f}", "with membrane updates"),
        ]
        if "ace" in found:
            rows.append((f"{name}: ACE per weight", f"{found['ace']:.2f}", "weight bits x spike bits x steps"))
    for column in metrics.get("energy", []) if rows else []:
        against = f"{si(column['source_joules'], 'J')} in the source; {column['assumes']}"
        if column["source_joules"]:
            rows.append((f"energy a token, {column['rule']}", si(column["joules"], "J"), against))
    for note in artifact.manifest.get("notes", []):
        print(f"note: {note}")
    print_table(
        f"{artifact.folder.name}: {', '.join(artifact.manifest['pipeline']) or 'no passes'}", ("", "value", ""), rows
    )
