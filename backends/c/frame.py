"""The frame of an emitted model.c (jinja2); what stands in its functions comes from source.py."""

MODEL = """\
/* A spike program, written by sdllm's C backend. Not for editing: change the program and emit it again.
 *
 * Every thread runs sd_forward from top to bottom, and takes of each call's items what others have not taken; a call
 * is over when all items are done. Of one token, what stands between sd_small and sd_done is done by one thread. Above
 * each call stand the lines of program.spike that it carries out.
 */
#include <math.h>
#include <stddef.h>

#include "kernels.h"
#include "lif.h"

/* Where a value lies: a row for each token; what grows with the context; what the state keeps. */
#define SD_ROWS(at) (t->arena + (at))
#define SD_CONTEXT(at) (t->arena + {{ fixed }} + (at) * t->C)
#define SD_KEPT(i) (t->state->kept[i])
#define SD_FLOATS(i) ((const float *)t->w[i])

{% for table in tables %}
{{ table }}
{% endfor %}
{% for name, lines in layers %}

static void {{ name }}(struct sd_thread *t) {
{% for line in lines %}
{{ "    " ~ line if line else "" }}
{% endfor %}
}
{% endfor %}

static void sd_forward(struct sd_thread *t) {
{% for name, _ in layers %}
    {{ name }}(t);
{% endfor %}
    (void)t;
}

static const struct sd_section sections[] = {
{% for size, hot in sections %}
    { {{- size }}, {{ hot -}} },
{% endfor %}
    {0, 0},
};

static const struct sd_kept kept[] = {
{% for size, outer, inner in kept %}
    { {{- size }}, {{ outer }}, {{ inner -}} },
{% endfor %}
    {0, 0, 0},
};

static const struct sd_input inputs[] = {
{% for name, role, size, row in inputs %}
    { {{- name }}, {{ role }}, {{ size }}, {{ row -}} },
{% endfor %}
    {NULL, SD_RAW, 0, 0},
};

static const struct sd_output outputs[] = {
{% for name, size, row in outputs %}
    { {{- name }}, {{ size }}, {{ row -}} },
{% endfor %}
    {NULL, 0, 0},
};

static const struct sd_counted counted[] = {
{% for product in counted %}
    {{ product }},
{% endfor %}
    {NULL, NULL, NULL, 0, NULL, NULL, NULL, 0},
};

const struct sd_program sd_program = {
    .name = {{ name }},
    .hash = { {{- hash -}} },
    .sections = sections,
    .kept = kept,
    .inputs = inputs,
    .outputs = outputs,
    .counted = counted,
    .n_sections = {{ sections | length }},
    .n_kept = {{ kept | length }},
    .n_inputs = {{ inputs | length }},
    .n_outputs = {{ outputs | length }},
    .n_counted = {{ counted | length }},
    .logits = {{ logits }},
    .vocabulary = {{ vocabulary }},
    .context = {{ context }},
    .most = {{ most }},
    .chunk = {{ chunk }},
    .arena = {{ fixed }},
    .arena_context = {{ growing }},
    .scratch = {{ scratch }},
    .scratch_context = {{ scratch_context }},
    .histogram = {{ histogram }},
    .counted_cells = {{ cells }},
    .most_steps = {{ steps }},
    .forward = sd_forward,
};
"""
