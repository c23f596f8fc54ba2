"""What `import lite_llm4rec` offers."""

import lite_llm4rec


def test_every_public_name_is_there():
    for name in lite_llm4rec.__all__:
        assert getattr(lite_llm4rec, name) is not None
    assert dir(lite_llm4rec) == sorted(lite_llm4rec.__all__)
