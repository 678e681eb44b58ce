"""An extension of Sphinx: the pages of source files that lie equally deep share their navigation, made once.

None of them is in the navigation itself, and its links lead out of their folder: it is the same to the letter. Making
it for each of the hundreds of pages is half of the time that the site takes. Of each function the reference asks three
times where its source is; here it is found once.
"""

import functools
import inspect


def setup(app):
    inspect.getsourcelines = functools.cache(inspect.getsourcelines)
    made = {}

    def shared(app, pagename, templatename, context, doctree):
        if not pagename.startswith("source/"):
            return
        toctree, depth = context["toctree"], pagename.count("/")

        def of_depth(**options):
            key = depth, *sorted(options.items())
            if key not in made:
                made[key] = toctree(**options)
            return made[key]

        context["toctree"] = of_depth

    app.connect("html-page-context", shared, priority=400)  # before the theme asks for it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
